"""Scores all workers for one task and picks one."""

from typing import Self, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

from nexus_sched._kernel.worker_table import WorkerTable

__pyx_capi__: dict[str, object]  # the C functions, as capsules

def demand(
    extra_ms: Buffer,
    base_ms: Buffer | None,
    demands: tuple[tuple[Buffer, Buffer, float], ...],
    fit_ms: float,
    rounding: float,
) -> None:
    """Fill a buffer of C floats over the rows for a task that asks for resources.

    It becomes `base_ms` (0 if `None`), +inf where a demand is not met, plus `fit_ms` times the share of the offer that
    would be left over, for each demand. A demand is (free, offered, amount): two buffers of C doubles over the rows
    and a number; a row that offers 0 meets none. `rounding` is the share of the offer that may be missing.
    """

def halved(
    table: WorkerTable,
    instants: dict[str, int],
    worth_ms: float,
    half_life_ms: float,
    at_ms: float,
    halvings_max: float,
) -> tuple[tuple[int, float], ...]:
    """Terms of the live workers among `instants`, which are by name and in ms, in their order.

    Each is minus the worth, halved with every half life that has passed from its instant to `at_ms`; after
    `halvings_max` of them there is none. Raises `KernelError` unless the half life is positive.
    """

@final
class Scorer:
    """J_w = wait_weight * wait_w + run_w + bias_w + balance_ms * load_w + extra_w over all open rows; lower is better.

    wait_w is 0 with a free slot, else booked work / effective slots. run_w is the factor of the row times `run_ms`, or
    times the entry of its class if `run_ms` is a buffer of C floats with one mean per class index. `extra_ms` is a
    buffer of C floats with one per row, padded to whole blocks of 256 (the table's `capacity` is enough): +inf keeps
    the task from a row. `terms` are at most 16 pairs (row, ms) that are added to the bias of single live rows.

    Among rows with J <= J_min + max(near_tie_share * run of the best row, near_tie_ms) the lowest load (in flight /
    slots) wins, then the first row at or behind `rotation` (cyclic). float32, fixed order of operations: the plain
    Python twin in `nexus_sched.testing.oracle` agrees bit for bit. Source: placement.md, facts 3.

    Cost of a pass over 1000 rows: 0.1 us with one mean, 0.5 us with a mean per class.
    """

    def __new__(cls, table: WorkerTable) -> Self: ...
    def choose(
        self,
        run_ms: float | Buffer,
        wait_weight: float,
        near_tie_share: float,
        near_tie_ms: float,
        rotation: int,
        balance_ms: float = 0.0,
        extra_ms: Buffer | None = None,
        terms: tuple[tuple[int, float], ...] = (),
        wait_max_ms: float = ...,
    ) -> int:
        """Row of the best worker, -1 if no row is open to the task. Raises `KernelError` if a score is not finite.

        Rows whose wait is longer than `wait_max_ms`, +inf unless it is told, are passed over.
        """
    def has_idle(self, extra_ms: Buffer | None = None) -> bool:
        """Whether a row with a free slot is open, to a task with this column if it has one. O(1) without."""
    def finish_ms(self, run_ms: float | Buffer, row: int) -> float:
        """When the task would end on a live row: its wait and its run, both unweighted. `run_ms` as in `choose`."""
    def soonest_busy_ms(self, run_ms: float | Buffer, extra_ms: Buffer | None = None) -> float:
        """The same for the best of the rows that accept and have no credit left, +inf if there is none.

        For arguments that `choose` has taken just before. Costs some 50 ns for each such row.
        """
    @property
    def score_ms(self) -> float:
        """J of the row that the last `choose` picked."""
    def scores(
        self,
        run_ms: float | Buffer,
        wait_weight: float,
        balance_ms: float = 0.0,
        extra_ms: Buffer | None = None,
        terms: tuple[tuple[int, float], ...] = (),
    ) -> NDArray[np.float32]:
        """J of every row, +inf for those that are not open to the task. For explanations and tests."""
