"""Where a task goes: ask the predictor, score, pick; and step down the ladder when that cannot be done.

The ladder: predictive -> the configured fallback -> round robin. Whether there is a prediction at all is the matter
of `core.forecasts`; without one, or if scoring fails, the fallback places that one task.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from nexus_sched._kernel.scorer import Scorer
from nexus_sched.core.forecasts import Forecasts
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.core.worker_classes import FEW_SHARE
from nexus_sched.errors import KernelError
from nexus_sched.fallback.candidate import FallbackPolicy
from nexus_sched.fallback.least_outstanding import LeastOutstanding
from nexus_sched.fallback.round_robin import RoundRobin
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import LEAST_OUTSTANDING, PREDICTIVE, EngineSettings
from nexus_sched.model.task import Task


class Choice(NamedTuple):
    """A worker for a task, who chose it, and the numbers behind it."""

    worker: WorkerRecord
    policy: str
    mean_ms: float  # predicted for its class (or for all), without its own pace; -1 without a prediction
    prediction: TaskPrediction | None  # if one was made for no worker in particular
    score_ms: float | None


class Placement:
    """The ladder. Holds the rotation and the fallback's position: all of its state."""

    def __init__(self, roster: Roster, settings: EngineSettings, forecasts: Forecasts) -> None:
        self._roster = roster
        self._forecasts = forecasts
        self._scorer = Scorer(roster.table)
        self._mean_ms = array("f", [0.0])  # for one class
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
        if self.mode == PREDICTIVE:
            means_ms = self._class_means(task, now_ms)
            prediction = None
            if means_ms is None:
                prediction = self._forecasts.predict(task, now_ms)
                means_ms = None if prediction is None else prediction.mean_ms
            if means_ms is not None:
                choice = self._score(means_ms, prediction, now_ms)
                if choice is not None:
                    return choice
            return self._fall_back(task, None, now_ms)
        return self._fall_back(task, self._forecasts.predict(task, now_ms), now_ms)

    def _class_means(self, task: Task, now_ms: int) -> float | array[float] | None:
        """What it takes on each class, or one number if only one class has an open worker; `None`: not by class."""
        classes, forecasts, table = self._roster.classes, self._forecasts, self._roster.table
        if len(classes) <= 1:
            return None
        only = table.open_class
        if only >= 0:
            return self._mean_on(task, only, now_ms)
        if table.open_classes < FEW_SHARE * len(classes):
            indexes = table.open_class_indexes()
            means_ms = array("f", bytes(4 * len(indexes)))
            names = tuple(classes.alone(index)[0] for index in indexes)
            if not forecasts.class_means(task, names, means_ms, now_ms):
                return None
            for index, mean_ms in zip(indexes, means_ms, strict=True):
                classes.means_ms[index] = mean_ms
            return classes.means_ms
        return classes.means_ms if forecasts.class_means(task, classes.names, classes.means_ms, now_ms) else None

    def _mean_on(self, task: Task, index: int, now_ms: int) -> float | None:
        told = self._forecasts.class_means(task, self._roster.classes.alone(index), self._mean_ms, now_ms)
        return self._mean_ms[0] if told else None

    def _score(self, means_ms: float | array[float], prediction: TaskPrediction | None, now_ms: int) -> Choice | None:
        settings, forecasts = self.settings, self._forecasts
        try:
            row = self._scorer.choose(
                means_ms,
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
        worker = self._roster.by_row[row]
        mean_ms = means_ms if isinstance(means_ms, float) else means_ms[worker.class_index]
        return Choice(worker, PREDICTIVE, mean_ms, prediction, self._scorer.score_ms)

    def could_run(self, name: str) -> bool:
        """Whether a task might go to this worker if it had a slot free."""
        worker = self._roster.by_name.get(name)
        return worker is not None and worker.accepting

    def _fall_back(self, task: Task, prediction: TaskPrediction | None, now_ms: int) -> Choice | None:
        """By the configured rule; `prediction` is what is booked all the same."""
        ring = self._roster.ring
        policy: FallbackPolicy = self.round_robin
        if self.settings.fallback == LEAST_OUTSTANDING and self.mode == PREDICTIVE:
            policy = self.least_outstanding
        index = policy.choose(ring)
        if index < 0:
            return None
        worker = ring[index]
        if prediction is None:
            return Choice(worker, policy.name, -1.0, None, None)
        mean_ms = self._mean_on(task, worker.class_index, now_ms) if len(self._roster.classes) > 1 else None
        return Choice(worker, policy.name, prediction.mean_ms if mean_ms is None else mean_ms, prediction, None)
