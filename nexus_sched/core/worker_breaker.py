"""The breaker of one worker: whether its failures are too many, and how it is tried again.

      CLOSED --too many failures, or an operator--> OPEN --time is over--> HALF_OPEN --enough successes--> CLOSED
                                                     ^                        |
                                                     +-------a failure--------+

Too many are `failures` in a row, or less than `success_min` over the window with at least `window_runs_min` runs. It
stays open for `open_ms` times how often it has opened, at most `open_ms_max`. Half-open it may hold one task, and one
more after each success, so what it is trusted with doubles with every round: 1, 2, 4.
The window is two halves, the one that runs and the one before, so it covers between half and all of `window_ms`, and
a run costs one comparison and one addition. Instants are those of turns; there is no clock here.
What a failure costs (`health_ms`) is the 99th percentile of its type, averaged over runs, and halved with time.
"""

from __future__ import annotations

from math import sqrt

from msgspec import Struct

from nexus_sched.model.answer import BreakerStory
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import WorkerBreakerSettings
from nexus_sched.model.task import DURATION_MS_MAX

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
HALF_OPEN_ALLOWANCE = 4  # tasks it may hold at which it is trusted again: three successes
HEALTH_ALPHA = 0.2  # weight of one run in the health term: five failures in a row make two thirds of their cost
HEALTH_MS_MIN = 1.0  # less than that is nothing
HISTORY_MAX = 8


class WorkerBreaker(Struct, array_like=True):
    """Kept under the name of its worker, so it outlives a restart."""

    name: str
    state: str = CLOSED
    failures: int = 0  # in a row
    opened: int = 0  # times
    until_ms: int = 0  # open: when it is tried again
    manual: bool = False  # open: by an operator
    allowance: int = 0  # half-open: tasks it may hold
    failed: int = 0  # in the current half of the window
    failed_before: int = 0  # in the half before that
    failed_at_ms: int = 0  # the last failure
    died_at_ms: int = 0  # the last time it was lost while it ran something
    health_ms: float = 0.0  # expected loss by failing, for the score
    due_ms: int = 0  # when to look at it again, 0 never
    history: list[tuple[int, str, str]] = []  # (instant, what, why), the newest few, oldest first

    def failure(self, cost_ms: float, now_ms: int) -> None:
        """A run failed that would have taken `cost_ms` in a bad case."""
        self.failures += 1
        self.failed += 1
        self.failed_at_ms = now_ms
        self.health_ms += HEALTH_ALPHA * (cost_ms - self.health_ms)

    def too_many(self, runs: int, settings: WorkerBreakerSettings) -> bool:
        """Whether to open, with that many runs over the window, the failed ones included."""
        if self.failures >= settings.failures:
            return True
        failed = self.failed + self.failed_before
        return runs >= settings.window_runs_min and runs - failed < settings.success_min * runs

    def success(self) -> bool:
        """A run succeeded; whether that closes it."""
        self.failures = 0
        self.health_ms *= 1.0 - HEALTH_ALPHA
        if self.state != HALF_OPEN:
            return False
        self.allowance += 1
        return self.allowance >= HALF_OPEN_ALLOWANCE

    def open(self, why: str, settings: WorkerBreakerSettings, now_ms: int, *, manual: bool = False) -> None:
        """Leave the worker alone for a while, for longer each time."""
        self.state, self.manual = OPEN, manual
        self.opened += 1
        self.failures = self.failed = self.failed_before = self.allowance = 0
        self.until_ms = now_ms + min(settings.open_ms * self.opened, settings.open_ms_max)
        self.tell(now_ms, OPEN, why)

    def half_open(self, now_ms: int) -> None:
        """Try it again, with one task."""
        self.state, self.manual, self.allowance = HALF_OPEN, False, 1
        self.tell(now_ms, HALF_OPEN, "its time is over")

    def close(self, why: str, now_ms: int) -> None:
        """Trust it again; how often it had opened is remembered."""
        self.state, self.manual = CLOSED, False
        self.failures = self.failed = self.failed_before = self.allowance = 0
        self.tell(now_ms, CLOSED, why)

    def decay(self) -> None:
        """Half a window has passed: what its failures cost is worth half."""
        self.health_ms /= 2.0
        if self.health_ms < HEALTH_MS_MIN:
            self.health_ms = 0.0

    def tell(self, now_ms: int, what: str, why: str) -> None:
        """Remember what happened."""
        self.history.append((now_ms, what, why))
        del self.history[:-HISTORY_MAX]

    def story(self, now_ms: int) -> BreakerStory:
        """For people."""
        left_ms = float(max(0, self.until_ms - now_ms)) if self.state == OPEN else 0.0
        return BreakerStory(self.state, self.failures, self.opened, left_ms, self.health_ms, tuple(self.history))


def bad_case_ms(prediction: TaskPrediction | None) -> float:
    """About the 99th percentile of a run: what a failure is taken to cost. 0 without a prediction.

    For a log-normal it is `p50 * r**1.41` with `r = p95 / p50`; the power 1.5 needs no libm and errs upwards.
    """
    if prediction is None or prediction.p50_ms <= 0.0:
        return 0.0
    ratio = max(1.0, prediction.p95_ms / prediction.p50_ms)
    return min(prediction.p50_ms * ratio * sqrt(ratio), DURATION_MS_MAX)
