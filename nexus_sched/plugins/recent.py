"""How long runs took of late: what a model learned in batches cannot know, and is given as numbers.

A moving average per type in the logarithm, and what a class and a worker add to it (prediction.md, fact 2: each
level learns the residual of the level above and is shrunk by n / (n + k)). Bounded: what was learned longest ago
gives way. The logarithm is the kernel's own, so that the numbers are the same on every machine.
"""

from __future__ import annotations

from typing import NamedTuple

from nexus_sched._kernel.history_table import log2

CELLS_MAX = 8_192
ALPHA = 0.05  # share of the newest run in the average of its type, once there are twenty
CELL_ALPHA = 0.1
SHRINKAGE_SAMPLES = 5.0
RESIDUAL_MAX = 1.0  # log2: what one run may say about a class or a worker, at most
RUN_MS_MIN = 0.001

Cell = tuple[float, int]  # mean, runs
RecentState = list[tuple[str, float, int]]


class Recent(NamedTuple):
    """Log2 of milliseconds: what runs of the type took of late, and what class and worker add."""

    level: float
    class_adds: float
    worker_adds: float
    samples: int

    @property
    def sum(self) -> float:
        """The level for this class and worker."""
        return self.level + self.class_adds + self.worker_adds


def log2_of_ms(run_ms: float) -> float:
    """The logarithm that is learned and predicted."""
    return log2(max(run_ms, RUN_MS_MIN))


class RecentTimes:
    """The averages of all types, of their classes and of their workers."""

    def __init__(self, state: RecentState | None = None) -> None:
        self._cells: dict[str, Cell] = {key: (mean, samples) for key, mean, samples in state or ()}

    def of(self, task_type: str, worker_class: str, worker: str) -> Recent | None:
        """What is known of late, `None` of a type that never ran."""
        cells = self._cells
        known = cells.get(task_type)
        if known is None:
            return None
        class_adds, worker_adds = cells.get(f"{task_type}\n{worker_class}"), cells.get(f"{task_type}\n\n{worker}")
        return Recent(known[0], _shrunk(class_adds), _shrunk(worker_adds), known[1])

    def learn(self, task_type: str, worker_class: str, worker: str, run_log2: float) -> None:
        """Take in one run."""
        residual = run_log2 - self._move(task_type, run_log2, ALPHA)
        for key in ((f"{task_type}\n{worker_class}",) if worker_class else ()) + (
            (f"{task_type}\n\n{worker}",) if worker else ()
        ):
            clipped = min(max(residual, -RESIDUAL_MAX), RESIDUAL_MAX)
            self._move(key, clipped, CELL_ALPHA)
            residual -= _shrunk(self._cells[key])
        while len(self._cells) > CELLS_MAX:
            del self._cells[next(iter(self._cells))]

    def _move(self, key: str, value: float, alpha: float) -> float:
        """Move a cell towards a value; gives its mean before, or the value if it is new."""
        mean, samples = self._cells.pop(key, (value, 0))
        self._cells[key] = (mean + max(alpha, 1.0 / (samples + 1)) * (value - mean), samples + 1)
        return mean

    def state(self) -> RecentState:
        """Everything learned, what was learned longest ago first."""
        return [(key, mean, samples) for key, (mean, samples) in self._cells.items()]


def _shrunk(cell: Cell | None) -> float:
    if cell is None:
        return 0.0
    mean, samples = cell
    return mean * samples / (samples + SHRINKAGE_SAMPLES)
