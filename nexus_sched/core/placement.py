"""Where a task goes: ask the predictor, score, pick; and step down the ladder when that cannot be done.

The ladder: predictive -> the configured fallback -> round robin. A predictor that answers `None` is not
failing, it has no data: the fallback places that one task. One that raises or is not finite counts for the
breaker, which keeps it from being asked until the cool-down has passed.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from msgspec import structs

from nexus_sched._kernel.scorer import Scorer
from nexus_sched.core.breaker import Breaker
from nexus_sched.core.predictors.base import Predictor
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.errors import KernelError
from nexus_sched.fallback.candidate import FallbackPolicy
from nexus_sched.fallback.least_outstanding import LeastOutstanding
from nexus_sched.fallback.round_robin import RoundRobin
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import LEAST_OUTSTANDING, PREDICTIVE, ROUND_ROBIN, SHADOW, EngineSettings
from nexus_sched.model.task import DURATION_MS_MAX, Task


class Choice(NamedTuple):
    """A worker for a task, who chose it, and the numbers behind it."""

    worker: WorkerRecord
    policy: str
    prediction: TaskPrediction | None
    score_ms: float | None


class Placement:
    """The ladder. Holds the rotation, the breaker and the fallback's position: all of its state."""

    def __init__(self, roster: Roster, settings: EngineSettings, predictor: Predictor) -> None:
        self._roster = roster
        self._scorer = Scorer(roster.table)
        self.settings = settings
        self.mode = settings.mode
        self.predictor = predictor
        self.breaker = Breaker(settings.fallback_threshold, settings.breaker_cooldown_ms)
        self.rotation = 0
        self.round_robin = RoundRobin(early=settings.mode != PREDICTIVE)
        self.least_outstanding = LeastOutstanding()
        self.failures = 0  # of prediction or scoring, ever
        self.scoring_failed = False  # the last score did; until one succeeds, predictions do not close the breaker

    def configure(self, settings: EngineSettings, predictor: Predictor) -> None:
        """Take over a configuration; what was learned and counted stays."""
        self.settings = settings
        self.predictor = predictor
        self.breaker.threshold = settings.fallback_threshold
        self.breaker.cooldown_ms = settings.breaker_cooldown_ms
        self.set_mode(settings.mode)

    def set_mode(self, mode: str) -> None:
        """Choose who places from now on."""
        self.mode = mode
        self.round_robin.early = mode != PREDICTIVE

    def predict(self, task: Task, now_ms: int) -> TaskPrediction | None:
        """A finite prediction, or `None`: no data, switched off, or failing."""
        if self.mode == ROUND_ROBIN or not self.breaker.allows(now_ms):
            return None
        try:
            prediction = self.predictor.predict(task)
            if prediction is None:
                return None
            # one comparison chain: False for NaN, infinite, negative and absurd values alike
            if 0.0 <= prediction.mean_ms <= DURATION_MS_MAX and 0.0 <= prediction.p50_ms <= DURATION_MS_MAX:
                plain = _plain(prediction)
                if self.breaker.failures and not self.scoring_failed:
                    self.breaker.succeeded()
                return plain
        except Exception:
            # A predictor may be anybody's code; whatever it raises, the task is placed all the same.
            pass
        self.failed(now_ms)
        return None

    def failed(self, now_ms: int) -> None:
        """Count a failure of prediction or scoring."""
        self.failures += 1
        self.breaker.failed(now_ms)

    def place(self, task: Task, now_ms: int) -> Choice | None:
        """A worker for this task, `None` if no worker is open. At 1000 workers < 5 us."""
        prediction = self.predict(task, now_ms)
        if prediction is not None and self.mode == PREDICTIVE:
            choice = self._score(prediction, now_ms)
            if choice is not None:
                return choice
        return self._fall_back(prediction)

    def _score(self, prediction: TaskPrediction, now_ms: int) -> Choice | None:
        settings = self.settings
        try:
            row = self._scorer.choose(
                prediction.mean_ms,
                settings.wait_weight,
                settings.near_tie_share,
                settings.near_tie_ms,
                self.rotation,
            )
        except KernelError:
            self.scoring_failed = True
            self.failed(now_ms)
            return None
        if self.scoring_failed:
            self.scoring_failed = False
            self.breaker.succeeded()
        if row < 0:
            return None
        self.rotation = row + 1
        return Choice(self._roster.by_row[row], PREDICTIVE, prediction, self._scorer.score_ms)

    def _fall_back(self, prediction: TaskPrediction | None) -> Choice | None:
        ring = self._roster.ring
        policy: FallbackPolicy = self.round_robin
        if self.settings.fallback == LEAST_OUTSTANDING and self.mode == PREDICTIVE:
            policy = self.least_outstanding
        index = policy.choose(ring)
        if index < 0:
            return None
        return Choice(ring[index], policy.name, prediction if self.mode == SHADOW else None, None)

    def learnable(self, run_ms: float) -> bool:
        """Whether a measured service time may train at all."""
        return isfinite(run_ms) and 0.0 <= run_ms <= DURATION_MS_MAX


def _plain(prediction: TaskPrediction) -> TaskPrediction:
    """The same with built-in types: a predictor may compute with others, which the journal cannot hold."""
    if type(prediction.mean_ms) is float and type(prediction.p50_ms) is float and type(prediction.basis) is str:
        return prediction
    return structs.replace(
        prediction,
        mean_ms=float(prediction.mean_ms),
        p50_ms=float(prediction.p50_ms),
        basis=str(prediction.basis),
    )
