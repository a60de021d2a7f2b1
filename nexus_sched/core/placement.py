"""Where a task goes: ask the predictor, filter and score, pick; and step down the ladder when that cannot be done.

The ladder: predictive -> the configured fallback -> round robin. Whether there is a prediction at all is the matter
of `core.forecasts`; without one, or if scoring fails, the fallback places that one task, among the workers that it may
run on. A prediction that tells classes apart gives one mean for each; where only workers of one class are open, as on
a busy pool, only that class is asked about.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from msgspec import Struct

from nexus_sched.core.eligibility import rejection, worth_ms
from nexus_sched.core.forecasts import Forecasts
from nexus_sched.core.reasons import Reasons
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.core.resources import fits
from nexus_sched.core.roster import Roster
from nexus_sched.core.scoring import HELD, Means, Scoring
from nexus_sched.core.worker_classes import FEW_SHARE
from nexus_sched.errors import KernelError
from nexus_sched.fallback.candidate import FallbackPolicy
from nexus_sched.fallback.least_outstanding import LeastOutstanding
from nexus_sched.fallback.round_robin import RoundRobin
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import DIRECTED, LEAST_OUTSTANDING, PREDICTIVE, EngineSettings
from nexus_sched.model.task import Task


class Choice(Struct, frozen=True, gc=False):
    """A worker for a task, who chose it, and the numbers behind it."""

    worker: WorkerRecord
    policy: str
    mean_ms: float  # predicted for its class (or for all), without its own pace; -1 without a prediction
    prediction: TaskPrediction | None  # if one was made for no worker in particular
    score_ms: float | None
    explored: bool = False


class Placement:
    """The ladder. Its state: the rotation, the positions of the fallbacks, and where affinity keys live."""

    def __init__(self, roster: Roster, settings: EngineSettings, forecasts: Forecasts) -> None:
        self._roster = roster
        self._table = roster.table
        self._forecasts = forecasts
        self._mean_ms = array("f", [0.0])  # of one class
        self.scoring = Scoring(roster, settings)
        self.reasons = Reasons(roster, self.scoring, settings)
        self.settings = settings
        self.mode = settings.mode
        self.rotation = 0
        self.held = False  # the last task was given to nobody because it does better to wait in the queue
        self.round_robin = RoundRobin(early=settings.mode != PREDICTIVE)
        self.least_outstanding = LeastOutstanding()

    def configure(self, settings: EngineSettings) -> None:
        """Take over a configuration."""
        self.settings = settings
        self.scoring.configure(settings)
        self.reasons.configure(settings)
        self.set_mode(settings.mode)

    def set_mode(self, mode: str) -> None:
        """Choose who places from now on."""
        self.mode = self._forecasts.mode = mode
        self.round_robin.early = mode != PREDICTIVE

    def place(self, task: Task, now_ms: int, avoid: Sequence[str] = ()) -> Choice | None:
        """A worker for this task, `None` if none is open to it; those of `avoid` only if nobody else is.

        At 1000 workers < 5 us. Books nothing: whoever acts on the choice does, and says so to `scoring.sent`; until
        then `reasons` tells why.
        """
        self.held = False
        if not self._table.open_count:
            return None
        if self.mode != PREDICTIVE:
            return self._fall_back(task, self._forecasts.predict(task, now_ms), now_ms, avoid)
        means_ms, prediction = self._class_means(task, now_ms), None
        if means_ms is None:
            prediction = self._forecasts.predict(task, now_ms)
            if prediction is None:
                return self._fall_back(task, None, now_ms, avoid)
            means_ms = prediction.mean_ms
        scoring, forecasts = self.scoring, self._forecasts
        try:
            row = scoring.choose(task, means_ms, self.rotation, now_ms, avoid)
        except KernelError:
            forecasts.scoring_failed = True
            forecasts.failed(now_ms)
            return self._fall_back(task, None, now_ms, avoid)
        if forecasts.scoring_failed:
            forecasts.scoring_failed = False
            forecasts.breaker.succeeded()
        if row < 0:
            self.held = row == HELD
            return None
        self.rotation = row + 1
        worker = self._roster.by_row[row]
        mean_ms = means_ms if isinstance(means_ms, float) else means_ms[worker.class_index]
        return Choice(worker, PREDICTIVE, mean_ms, prediction, scoring.score_ms, scoring.explored)

    def directed(self, task: Task, worker: WorkerRecord, now_ms: int) -> Choice:
        """The worker that people chose; what is predicted there is booked all the same."""
        prediction = self._forecasts.predict(task, now_ms)
        return self._without_scores(worker, DIRECTED, task, prediction, now_ms)

    def could_run(self, task: Task, instead: TaskRecord) -> bool:
        """Whether a task might go where a placed one is, if that one gave way."""
        worker = self._roster.by_name.get(instead.worker)
        if worker is None or not worker.accepting:
            return False
        needs = task.terms.needs
        return worth_ms(worker, needs) < math.inf and fits(worker, needs.resources, instead.task.terms.needs.resources)

    def _class_means(self, task: Task, now_ms: int) -> Means | None:
        """What it takes on each class, or one number if only one class has an open worker; `None`: not by class."""
        table, forecasts, classes = self._table, self._forecasts, self._roster.classes
        only = table.open_class
        if only >= 0:
            told = forecasts.class_means(task, classes.alone[only], self._mean_ms, now_ms)
            return self._mean_ms[0] if told else None
        means_ms = classes.means_ms
        if table.open_classes >= FEW_SHARE * classes.count:
            return means_ms if forecasts.class_means(task, classes.names, means_ms, now_ms) else None
        indexes = table.open_class_indexes()
        few_ms = array("f", bytes(4 * len(indexes)))
        if not forecasts.class_means(task, tuple(classes.alone[each][0] for each in indexes), few_ms, now_ms):
            return None
        for index, mean_ms in zip(indexes, few_ms, strict=True):
            means_ms[index] = mean_ms
        return means_ms

    def _fall_back(
        self, task: Task, prediction: TaskPrediction | None, now_ms: int, avoid: Sequence[str]
    ) -> Choice | None:
        """By the configured rule; `prediction` is what is booked all the same."""
        policy: FallbackPolicy = self.round_robin
        if self.settings.fallback == LEAST_OUTSTANDING and self.mode == PREDICTIVE:
            policy = self.least_outstanding
        worker = self._by_policy(policy, task, avoid)
        return None if worker is None else self._without_scores(worker, policy.name, task, prediction, now_ms)

    def _without_scores(
        self, worker: WorkerRecord, policy: str, task: Task, prediction: TaskPrediction | None, now_ms: int
    ) -> Choice:
        if prediction is None:
            return Choice(worker, policy, -1.0, None, None)
        alone = self._roster.classes.alone[worker.class_index]
        told = self._forecasts.class_means(task, alone, self._mean_ms, now_ms)
        return Choice(worker, policy, self._mean_ms[0] if told else prediction.mean_ms, prediction, None)

    def _by_policy(self, policy: FallbackPolicy, task: Task, avoid: Sequence[str]) -> WorkerRecord | None:
        """Whom a policy picks from the ring, or from those workers of it that the task may run on."""
        ring, needs = self._roster.ring, task.terms.needs
        if task.asks is not None or self._roster.tainted:
            ring = [worker for worker in ring if rejection(worker, needs) is None]
        if avoid:
            others = [worker for worker in ring if worker.name not in avoid]
            index = policy.choose(others)
            if index >= 0:
                return others[index]
        index = policy.choose(ring)
        return ring[index] if index >= 0 else None
