"""The runs that a predictor has seen, bounded: the newest of every type, types learned longest ago give way.

A rare type keeps its runs however busy the others are, and nothing depends on chance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from nexus_sched.plugins.runs import TrainingRun

RUNS_PER_TYPE_MAX = 256
RUNS_MAX = 8_192


class Collected:
    """Newest runs by type, the type that ran last at the end."""

    def __init__(self, runs: Iterable[TrainingRun] = ()) -> None:
        self._by_type: dict[str, deque[TrainingRun]] = {}
        self._count = 0
        for run in runs:
            self.add(run)

    def __len__(self) -> int:
        return self._count

    def add(self, run: TrainingRun) -> None:
        """Keep a run, and let go of the oldest ones beyond the bounds."""
        runs = self._by_type.pop(run.task_type, None)
        if runs is None:
            runs = deque()
        self._by_type[run.task_type] = runs
        runs.append(run)
        self._count += 1
        if len(runs) > RUNS_PER_TYPE_MAX:
            runs.popleft()
            self._count -= 1
        elif self._count > RUNS_MAX:
            oldest = next(iter(self._by_type))
            self._by_type[oldest].popleft()
            self._count -= 1
            if not self._by_type[oldest]:
                del self._by_type[oldest]

    def runs(self) -> list[TrainingRun]:
        """All of them; adding them in this order gives the same collection."""
        return [run for runs in self._by_type.values() for run in runs]
