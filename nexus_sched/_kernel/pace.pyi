"""How fast workers are, by their runs."""

from typing import final

from typing_extensions import disjoint_base

from nexus_sched._kernel.worker_table import WorkerTable

FACTOR_MIN: float  # how far a factor may go ...
FACTOR_MAX: float
PACE_MIN: float  # ... and a pace
PACE_MAX: float
DEAD_BAND: float  # the choice ignores smaller differences of a factor from 1
DOUBT_AT_FIRST: float  # relative variance of the factor of a new worker
DEVIATION_MAX: float  # of one run, in spreads

def deviation(run_ms: float, p50_ms: float, p95_ms: float) -> float:
    """How far a run is from its prediction, in spreads; above 0 if slower. Within -1 to 1 it is nothing.

    Raises `KernelError` unless both are positive.
    """

@disjoint_base
class WorkerPace:
    """What runs have told of one worker; the base of its record. csrc/nexus_pace.h has the formulas."""

    factor: float  # learned slowness: measured / predicted for its class, 1 = average
    doubt: float  # relative variance of `factor`
    pace: float  # learned: measured / predicted for this very worker
    samples: int  # completions behind `factor`
    pace_samples: int  # completions behind `pace`
    sums: tuple[float, float, int, float, float, float] | None
    """Of a change that may be under way: slower, faster, the runs behind them, their measured and their expected ms,
    and the factor before; `None` if runs are as predicted."""
    def __new__(cls, *args: object, **kwargs: object) -> WorkerPace: ...
    def make_good(self, more_ms: float) -> None:
        """The last run behind the sums has taken so much more than was known when it was observed."""

@final
class Paces:
    """All workers of a pool, as far as their runs say something of all.

    A run is told by what it took, what its type takes on an average worker of the class (`class_ms`), and what had been
    predicted for it, `told_pace` times the worker's pace included. Rows are those of the table; their factor is
    derived. Raises `KernelError` for a row that is not live. O(1).
    """

    typical: float  # learned: measured / predicted over all workers
    def __new__(cls, table: WorkerTable) -> Paces: ...
    def observe(self, worker: WorkerPace, run_ms: float, class_ms: float, p50_ms: float, p95_ms: float) -> float:
        """Take a run into the sums; measured / expected since the worker's pace has changed, 0 if it has not."""
    def learn(
        self,
        worker: WorkerPace,
        row: int,
        run_ms: float,
        class_ms: float,
        told_pace: float,
        p50_ms: float,
        mean_ms: float,
        p95_ms: float,
        p10_ms: float,
        p90_ms: float,
    ) -> None:
        """Move the worker's factor and pace. Writes the factor of the row."""
    def take(
        self,
        worker: WorkerPace,
        row: int,
        run_ms: float,
        class_ms: float,
        told_pace: float,
        p50_ms: float,
        mean_ms: float,
        p95_ms: float,
        p10_ms: float,
        p90_ms: float,
    ) -> float:
        """`observe`, and `learn` unless that says that the pace has changed; its answer. What most runs need."""
    def restart(self, worker: WorkerPace, row: int, factor: float, samples: int) -> None:
        """The pace has changed: the factor is what the last `samples` runs say, and follows quickly again."""
    def set_factor(self, worker: WorkerPace, row: int, factor: float) -> None:
        """Take a factor as it is, within its bounds."""
