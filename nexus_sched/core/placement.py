"""Where a task goes: ask the predictor, score, pick; and step down the ladder when that cannot be done.

The ladder: predictive -> the configured fallback -> round robin. Whether there is a prediction at all is the matter
of `core.forecasts`; without one, or if scoring fails, the fallback places that one task.
"""

from __future__ import annotations

from typing import NamedTuple

from nexus_sched._kernel.scorer import Scorer
from nexus_sched.core.forecasts import Forecasts
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.errors import KernelError
from nexus_sched.fallback.candidate import FallbackPolicy
from nexus_sched.fallback.least_outstanding import LeastOutstanding
from nexus_sched.fallback.round_robin import RoundRobin
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import LEAST_OUTSTANDING, PREDICTIVE, SHADOW, EngineSettings
from nexus_sched.model.task import Task


class Choice(NamedTuple):
    """A worker for a task, who chose it, and the numbers behind it."""

    worker: WorkerRecord
    policy: str
    prediction: TaskPrediction | None
    score_ms: float | None


class Placement:
    """The ladder. Holds the rotation and the fallback's position: all of its state."""

    def __init__(self, roster: Roster, settings: EngineSettings, forecasts: Forecasts) -> None:
        self._roster = roster
        self._forecasts = forecasts
        self._scorer = Scorer(roster.table)
        self.settings = settings
        self.mode = settings.mode
        self.rotation = 0
        self.round_robin = RoundRobin(early=settings.mode != PREDICTIVE)
        self.least_outstanding = LeastOutstanding()

    def configure(self, settings: EngineSettings) -> None:
        """Take over a configuration."""
        self.settings = settings
        self.set_mode(settings.mode)

    def set_mode(self, mode: str) -> None:
        """Choose who places from now on."""
        self.mode = self._forecasts.mode = mode
        self.round_robin.early = mode != PREDICTIVE

    def place(self, task: Task, now_ms: int) -> Choice | None:
        """A worker for this task, `None` if no worker is open. At 1000 workers < 5 us."""
        prediction = self._forecasts.predict(task, now_ms)
        if prediction is not None and self.mode == PREDICTIVE:
            choice = self._score(prediction, now_ms)
            if choice is not None:
                return choice
        return self._fall_back(prediction)

    def _score(self, prediction: TaskPrediction, now_ms: int) -> Choice | None:
        settings, forecasts = self.settings, self._forecasts
        try:
            row = self._scorer.choose(
                prediction.mean_ms,
                settings.wait_weight,
                settings.near_tie_share,
                settings.near_tie_ms,
                self.rotation,
            )
        except KernelError:
            forecasts.scoring_failed = True
            forecasts.failed(now_ms)
            return None
        if forecasts.scoring_failed:
            forecasts.scoring_failed = False
            forecasts.breaker.succeeded()
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
