"""The state of an engine, shared by the handlers of its events.

Law: every handler (`task_events`, `worker_events`, `control_events`, `placing`, ...) works on this one object and keeps
nothing of its own that decisions depend on. What is here is in the snapshot (`core.snapshot`) and in the digest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nexus_sched.core.backlog.backlog import Backlog
from nexus_sched.core.ejection import Ejection
from nexus_sched.core.eta import Etas
from nexus_sched.core.forecasts import Forecasts
from nexus_sched.core.forgiving import Forgiving
from nexus_sched.core.overdue import Overdue
from nexus_sched.core.override_table import OverrideTable
from nexus_sched.core.placement import Placement
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.records import Booking, Cordon, TaskRecord, WorkerRecord
from nexus_sched.core.requests import Requests
from nexus_sched.core.reservations import Reservations
from nexus_sched.core.roster import Roster
from nexus_sched.core.suspects import Suspects
from nexus_sched.model.effects import AnyEffect, CancelQueued, DeadLetter, Discard, Noticed
from nexus_sched.model.events import QuestionAsked
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import PRIORITY_MAX

if TYPE_CHECKING:
    from nexus_sched.core.pauses import Pause

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
    "stragglers",
    "pace_changes",
    "moves",
    "breakers_opened",
    "preempted",
    "copies",
    "panics",
    "etas",
    "etas_within",
    "compared",  # runs that succeeded and had an alternative
    "regretted",  # of them those that ended later than the best alternative had promised
    "regret_ms",  # by how much, summed
)


class EngineState:
    """Everything a pool's decisions depend on, and the ways in which a task leaves it."""

    def __init__(self, predictors: Mapping[str, PredictorFactory], settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self.seq = 0
        self.epoch = 0
        self.born = ""  # who led first, and when: a shard that began anew is another one, whatever its number of turns
        self.roster = Roster()
        self.reservations = Reservations(self.roster)
        self.backlog = Backlog()
        self.backlog.configure(self.settings, ())
        self.tasks: dict[str, TaskRecord] = {}
        self.copies: dict[str, TaskRecord] = {}  # second runs of placed tasks, by task id
        self.forecasts = Forecasts(predictors, self.settings)
        self.placement = Placement(self.roster, self.settings, self.forecasts)
        self.overdue = Overdue()
        self.requests = Requests()
        self.suspects = Suspects()
        self.ejection = Ejection(self.roster, self.settings.worker_breaker)
        self.forgiving = Forgiving(self.roster)
        self.cordons: dict[str, Cordon] = {}  # by the name of a worker, live or not
        self.departed: dict[str, int] = {}  # workers that have left lately, and when: their inboxes are looked after
        self.pauses: dict[str, Pause] = {}  # by type of task; "" is the whole pool
        self.wishes: dict[str, str] = {}  # task id -> the worker that people want it to run on
        self.overrides = OverrideTable()
        self.late: dict[str, None] = {}  # workers with an overdue run and something behind it, the next one first
        self.next_look_ms = 0  # when tasks may be moved again
        self.look_wanted = False  # a turn has passed since the last look
        self.straggler_told_ms = self.pace_told_ms = 0  # when people last heard of one, and of another pace
        self.etas = Etas(self)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.retracts: deque[tuple[str, int]] = deque()  # (task id, attempt) still to be taken back
        self.more = False  # the last turn left work undone
        self.noticed = 0  # `Noticed` effects of the last turn
        self.now_ms = 0  # instant of the current turn
        self.effects: list[AnyEffect] = []  # of the current turn
        self.questions: list[QuestionAsked] = []  # of the current turn
        self.dispatches = 0  # of the current turn
        self.asked = [0] * (PRIORITY_MAX + 1)  # runs told to give way and still there, by the priority in whose favour
        self.ended: list[TaskRecord] = []  # waiting tasks that were ended by a decision of the current turn
        self.stops: list[TaskRecord] = []  # to be told to stop in the current turn
        self.strays: list[TaskRecord] = []  # runs that have lost against a copy, or a copy: to be told as well

    # -- what any handler may need ---------------------------------------------------------------------

    def live(self, name: str, incarnation: int) -> WorkerRecord | None:
        """The worker of this name, if this is its newest incarnation."""
        worker = self.roster.by_name.get(name)
        return worker if worker is not None and worker.incarnation == incarnation else None

    @property
    def paused(self) -> bool:
        """Whether the whole pool is."""
        return "" in self.pauses

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

    def record_of(self, task_id: str, attempt: int) -> TaskRecord | None:
        """The placed record of this very attempt: the task's own, or its copy's."""
        record = self.tasks.get(task_id)
        if record is not None and record.attempt != attempt:
            record = self.copies.get(task_id)
        return None if record is None or record.waiting or record.attempt != attempt else record

    # -- how a task leaves -----------------------------------------------------------------------------

    def end_cancelled(self, record: TaskRecord) -> None:
        """A waiting task, already out of the backlog, will not run."""
        self.counters["cancelled"] += 1
        self.effects.append(CancelQueued(record.task.id, record.place, record.entry))
        self.ended.append(record)
        del self.tasks[record.task.id]

    def bury(self, record: TaskRecord, reason: Reason, worker: str, detail: str) -> None:
        """A waiting task, already out of the backlog, becomes a dead letter."""
        self.end_dead(record.task.id, reason, record.attempt, worker, detail, record.place, record.entry)
        self.ended.append(record)
        del self.tasks[record.task.id]

    def end_dead(
        self, task_id: str, reason: Reason, attempt: int, worker: str, detail: str, stream: str, entry: str
    ) -> None:
        """A dead letter for something that need not be a task."""
        self.counters["dead"] += 1
        self.effects.append(DeadLetter(task_id, reason, attempt, worker, detail, stream, entry))

    def forget(self, record: TaskRecord, used_ms: float = 0.0, worker: WorkerRecord | None = None) -> None:
        """A task has ended elsewhere, after `used_ms` of a worker's time; `worker`, if it is known to be that one."""
        if record.place[0] == "q":
            self.backlog.remove(record)
        else:
            self.unplace(record, used_ms, worker)
            if self.copies:
                self.drop_copy(record)
        del self.tasks[record.task.id]

    def drop_copy(self, record: TaskRecord) -> TaskRecord | None:
        """Forget the copy of a task, if it has one; the answer is where it ran."""
        copy = self.copies.pop(record.task.id, None)
        if copy is not None:
            self.unplace(copy)
        return copy

    def promote_copy(self, record: TaskRecord) -> TaskRecord:
        """Let the copy of a task take the place of its own record, which is no longer with its worker."""
        copy = self.copies.pop(record.task.id)
        if record.history is not None:
            history = copy.remembered()
            history.starts, history.deaths = record.history.starts, record.history.deaths
        copy.booked.cancelled = record.booked.cancelled
        copy.counted, record.counted = record.counted, False  # limits count the task, however often it runs
        self.unplace(record)
        self.tasks[record.task.id] = copy
        self.suspects.placed(copy, self.tasks)
        self.overdue.resume(copy)
        return copy

    def unplace(self, record: TaskRecord, used_ms: float = 0.0, worker: WorkerRecord | None = None) -> None:
        """A placed task is no longer with its worker, whose time it has used for `used_ms`; see `forget`."""
        booking = record.booking
        assert booking is not None, "a task that is placed has been booked"
        if record.history is not None:
            self.suspects.left(record)
        if booking.spare or booking.stop_entry or booking.gives_way >= 0:
            self._tidy(record.place, booking)
        started = self.roster.settle(record, worker)
        if started is not None:
            self.overdue.begin(started, self.now_ms)
        if booking.charged_ms >= 0.0 or record.counted:
            self.backlog.settle(record, used_ms)

    def _tidy(self, inbox: str, booking: Booking) -> None:
        """What else there is in the store of a placed task goes as well."""
        if booking.spare:
            self.effects.append(Discard("q:r", booking.spare))
            booking.spare = ""
        if booking.gives_way >= 0:
            self.asked[booking.gives_way] -= 1
            booking.gives_way = -1
        if booking.stop_entry:
            self.effects.append(Discard(inbox, booking.stop_entry))
            booking.stop_entry = ""
