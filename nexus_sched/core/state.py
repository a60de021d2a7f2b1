"""The state of an engine, shared by the handlers of its events.

Law: every handler (`task_events`, `worker_events`, `configuration`, `placing`, ...) works on this one object and keeps
nothing of its own that decisions depend on. What is here is in the snapshot (`core.snapshot`) and in the digest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from nexus_sched.core.backlog.backlog import Backlog
from nexus_sched.core.ejection import Ejection
from nexus_sched.core.eta import Etas
from nexus_sched.core.forecasts import Forecasts
from nexus_sched.core.overdue import Overdue
from nexus_sched.core.placement import Placement
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.records import Cordon, TaskRecord, WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.model.effects import AnyEffect, CancelQueued, DeadLetter, Discard, Noticed
from nexus_sched.model.events import QuestionAsked
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import EngineSettings

COUNTERS = (
    "submitted",
    "dispatched",
    "finished",
    "failed",
    "dead",
    "cancelled",
    "reclaimed",
    "refused",
    "vanished",
    "late",
    "repeated",
    "predictive",
    "fallback",
    "predictions",
    "predictions_within",
    "workers_lost",
    "drifts",
    "distrusted",
    "overdue",
    "etas",
    "etas_within",
    "stragglers",
    "pace_changes",
    "moves",
    "breakers_opened",
    "panics",
)


class EngineState:
    """Everything a pool's decisions depend on, and the ways in which a task leaves it."""

    def __init__(self, predictors: Mapping[str, PredictorFactory], settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self.seq = 0
        self.epoch = 0
        self.roster = Roster()
        self.backlog = Backlog()
        self.backlog.configure(self.settings, ())
        self.tasks: dict[str, TaskRecord] = {}
        self.forecasts = Forecasts(predictors, self.settings)
        self.placement = Placement(self.roster, self.settings, self.forecasts)
        self.overdue = Overdue()
        self.ejection = Ejection(self.roster, self.settings.worker_breaker)
        self.cordons: dict[str, Cordon] = {}  # by the name of a worker, live or not
        self.late: dict[str, None] = {}  # workers with an overdue run and something behind it, the next one first
        self.next_look_ms = 0  # when tasks may be moved again
        self.look_wanted = False  # a turn has passed since the last look
        self.straggler_told_ms = 0  # when people last heard of one
        self.etas = Etas(self)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.retracts: deque[tuple[str, int]] = deque()  # (task id, attempt) still to be taken back
        self.more = False  # the last turn left work undone
        self.noticed = 0  # `Noticed` effects of the last turn
        self.now_ms = 0  # instant of the current turn
        self.effects: list[AnyEffect] = []  # of the current turn
        self.questions: list[QuestionAsked] = []  # of the current turn
        self.dispatches = 0  # of the current turn
        self.stops: list[TaskRecord] = []  # to be told to stop in the current turn

    # -- what any handler may need ---------------------------------------------------------------------

    def live(self, name: str, incarnation: int) -> WorkerRecord | None:
        """The worker of this name, if this is its newest incarnation."""
        worker = self.roster.by_name.get(name)
        return worker if worker is not None and worker.incarnation == incarnation else None

    def notice(self, kind: str, detail: str) -> None:
        """Something that people should hear of."""
        self.noticed += 1
        self.effects.append(Noticed(kind, detail))

    def recall(self, worker: WorkerRecord, keep: int = 0) -> None:
        """Ask for everything back that a worker has not started, except the oldest `keep`."""
        for task_id in list(worker.placed)[keep:]:
            self.retracts.append((task_id, worker.placed[task_id].attempt))

    def recall_excess(self, worker: WorkerRecord) -> None:
        """The same for what is more than its credit."""
        if worker.in_flight > worker.credit:
            self.recall(worker, keep=worker.credit)

    # -- how a task leaves -----------------------------------------------------------------------------

    def end_cancelled(self, record: TaskRecord) -> None:
        """A waiting task, already out of the backlog, will not run."""
        self.counters["cancelled"] += 1
        self.effects.append(CancelQueued(record.task.id, record.place, record.entry))
        del self.tasks[record.task.id]

    def bury(self, record: TaskRecord, reason: Reason, worker: str, detail: str) -> None:
        """A waiting task, already out of the backlog, becomes a dead letter."""
        self.end_dead(record.task.id, reason, record.attempt, worker, detail, record.place, record.entry)
        del self.tasks[record.task.id]

    def end_dead(
        self, task_id: str, reason: Reason, attempt: int, worker: str, detail: str, stream: str, entry: str
    ) -> None:
        """A dead letter for something that need not be a task."""
        self.counters["dead"] += 1
        self.effects.append(DeadLetter(task_id, reason, attempt, worker, detail, stream, entry))

    def forget(self, record: TaskRecord, used_ms: float = 0.0) -> None:
        """A task has ended elsewhere, after `used_ms` of a worker's time."""
        if record.waiting:
            self.backlog.remove(record)
        else:
            self.unplace(record, used_ms)
        del self.tasks[record.task.id]

    def unplace(self, record: TaskRecord, used_ms: float = 0.0) -> None:
        """A placed task is no longer with its worker, whose time it has used for `used_ms`."""
        if record.stop_entry:
            self.effects.append(Discard(record.place, record.stop_entry))
            record.stop_entry = ""
        self.roster.settle(record)
        self.backlog.settle(record, used_ms)
