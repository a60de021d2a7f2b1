"""Scores all workers for one task and picks one."""

from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from nexus_sched._kernel.worker_table import WorkerTable

@final
class Scorer:
    """J_w = wait_weight * wait_w + run_ms * factor_w + bias_w over all open rows of a table; lower is better.

    wait_w is 0 with a free slot, else booked work / slots. Among rows with
    J <= J_min + max(near_tie_share * run_ms, near_tie_ms) the lowest load (in flight / slots) wins, then the
    first row at or behind `rotation` (cyclic). float32, fixed order of operations: the plain Python twin in
    `nexus_sched.testing.oracle` agrees bit for bit. Source: placement.md, facts 3.
    """

    def __new__(cls, table: WorkerTable) -> Self: ...
    def choose(
        self, run_ms: float, wait_weight: float, near_tie_share: float, near_tie_ms: float, rotation: int
    ) -> int:
        """Row of the best worker, -1 if no row is open. Raises `KernelError` if a score is not finite."""
    @property
    def score_ms(self) -> float:
        """J of the row that the last `choose` picked."""
    def scores(self, run_ms: float, wait_weight: float) -> NDArray[np.float32]:
        """J of every row, +inf for those that are not open. For explanations and tests."""
