"""The engine: `handle(events, at_ns) -> effects`, one call a turn, deterministic to the bit.

Laws
* State changes only in `handle`, only by the events given to it and the instant of the turn.
* One call is one turn is one journal sequence number; the inbox entry of the k-th dispatch of turn s is
  `<s>-<k>`, so nothing has to be read back from the store.
* A live task is in exactly one place. Each handler below moves it along one edge of that graph:

      submitted -> WAITING --dispatch--> PLACED --finished--> ended
                     ^  |                  |  |
                     |  +--cancel--> ended |  +--vanished--> ended
                     +-----reclaimed-------+
                           (or dead letter, if it may not run again)

* Facts that do not fit (a repeat, a late completion, a stale report) are expected: they are counted,
  tidied up, and change nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from nexus_sched.core.backlog import Backlog
from nexus_sched.core.decide import decide
from nexus_sched.core.digest import digest_of
from nexus_sched.core.forecasts import PINNED, TOLERANCE, Forecasts
from nexus_sched.core.lifecycle import why_not_again
from nexus_sched.core.overdue import Overdue
from nexus_sched.core.placement import Choice, Placement
from nexus_sched.core.predictors.base import CompletedRun, PredictorFactory
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.model.effects import (
    AnyEffect,
    CancelQueued,
    CancelRunning,
    DeadLetter,
    Discard,
    Dispatch,
    Noticed,
    Retract,
)
from nexus_sched.model.events import (
    AnyEvent,
    CancelRequested,
    EpochBegan,
    EstimatePinned,
    EstimateUnpinned,
    Event,
    ModeChanged,
    PredictorChosen,
    PredictorOverran,
    TaskFinished,
    TaskReclaimed,
    TaskRefused,
    TaskSubmitted,
    TaskVanished,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
    WorkerSuspected,
    WorkerTrusted,
)
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.settings import PREDICTIVE, EngineSettings
from nexus_sched.model.task import DURATION_MS_MAX, PRIORITY_MAX
from nexus_sched.units import NS_PER_MS

DECISIONS_MAX = 256  # in one turn; the store moves at most this many in one commit
RETRACTS_MAX = 256
QUEUE_STREAMS = tuple(f"q:{priority}" for priority in range(PRIORITY_MAX + 1))

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
)


class Engine:
    """One pool's decisions. Knows neither clock nor store; `seq` counts its turns."""

    def __init__(self, predictors: Mapping[str, PredictorFactory], settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self.seq = 0
        self.epoch = 0
        self.roster = Roster()
        self.backlog = Backlog()
        self.tasks: dict[str, TaskRecord] = {}
        self.forecasts = Forecasts(predictors, self.settings)
        self.placement = Placement(self.roster, self.settings, self.forecasts)
        self.overdue = Overdue()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.retracts: deque[tuple[str, int]] = deque()  # (task id, attempt) still to be taken back
        self.more = False  # the last turn left work undone
        self.noticed = 0  # `Noticed` effects of the last turn
        self.now_ms = 0  # instant of the current turn
        self._effects: list[AnyEffect] = []
        self._dispatches = 0
        self._stops: list[TaskRecord] = []
        self._handlers: dict[type[Event], Callable[..., None]] = {
            EpochBegan: self._epoch_began,
            TaskSubmitted: self._task_submitted,
            TaskReclaimed: self._task_reclaimed,
            TaskRefused: self._task_refused,
            TaskFinished: self._task_finished,
            TaskVanished: self._task_vanished,
            CancelRequested: self._cancel_requested,
            WorkerJoined: self._worker_joined,
            WorkerReported: self._worker_reported,
            WorkerLeft: self._worker_left,
            WorkerSuspected: self._worker_suspected,
            WorkerTrusted: self._worker_trusted,
            ModeChanged: self._mode_changed,
            PredictorOverran: self._predictor_overran,
            PredictorChosen: self._predictor_chosen,
            EstimatePinned: self._estimate_pinned,
            EstimateUnpinned: self._estimate_unpinned,
        }

    @property
    def ready(self) -> bool:
        """Whether the next turn has work to do even without new events."""
        return self.more

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        """Take one turn: apply `events` in order, then place what can be placed.

        `at_ns` is the instant of the turn in nanoseconds since the epoch; it must never go back.
        """
        self.seq += 1
        self.now_ms = at_ns // NS_PER_MS
        effects: list[AnyEffect] = []
        self._effects = effects
        self._dispatches = self.noticed = 0
        self._stops = []
        handlers = self._handlers
        for event in events:
            handlers[type(event)](event)
        self.counters["overdue"] += self.overdue.correct(self.tasks, self.roster, self.now_ms)
        self._place_waiting()
        self._take_back()
        self._send_stops()
        return effects

    # -- placing -----------------------------------------------------------------------------------

    def _place_waiting(self) -> None:
        backlog, table = self.backlog, self.roster.table
        left = DECISIONS_MAX
        while left and table.open_count and len(backlog):
            record = backlog.pop()
            if record is None:
                break
            choice = self.placement.place(record.task, self.now_ms)
            if choice is None:
                self._queue(record)
                break
            self._dispatch(record, choice)
            left -= 1
        self.more = left == 0 and table.open_count > 0 and len(backlog) > 0

    def _dispatch(self, record: TaskRecord, choice: Choice) -> None:
        worker = choice.worker
        decision = decide(record, choice, self.forecasts, self.now_ms)
        self._effects.append(Dispatch(decision, record.place, record.entry))
        record.place = "i:" + worker.name
        record.entry = f"{self.seq}-{self._dispatches}"
        self._dispatches += 1
        free = worker.in_flight < worker.slots
        wait_ms = 0.0 if free else self.roster.table.booked_ms(worker.row) / worker.slots
        self.roster.book(worker, record)
        self.overdue.watch(record, wait_ms, self.now_ms)
        self.counters["dispatched"] += 1
        self.counters["predictive" if choice.policy == PREDICTIVE else "fallback"] += 1

    def _queue(self, record: TaskRecord) -> None:
        """Let a task that is in a queue stream wait for its turn."""
        prediction = self.forecasts.predict(record.task, self.now_ms)
        record.mean_ms = -1.0 if prediction is None else prediction.mean_ms
        by_length = self.placement.mode == PREDICTIVE
        self.backlog.push(record, self.settings.order_weight if by_length else 0.0, self.settings.priority_credit_ms)

    # -- tasks -------------------------------------------------------------------------------------

    def _task_submitted(self, event: TaskSubmitted) -> None:
        task = event.task
        stream = QUEUE_STREAMS[task.priority]
        known = self.tasks.get(task.id)
        if known is not None:
            self.counters["repeated"] += 1
            if (known.place, known.entry) != (stream, event.entry):
                self._effects.append(Discard(stream, event.entry))
            return
        record = TaskRecord(task, stream, event.entry)
        self.tasks[task.id] = record
        self.counters["submitted"] += 1
        self._queue(record)

    def _task_reclaimed(self, event: TaskReclaimed) -> None:
        record = self.tasks.get(event.task_id)
        if record is None:
            # Its end overtook this pointer, or it is nobody's: the commit ends it only if it still lives.
            self._end_dead(
                event.task_id,
                Reason.ENGINE_ERROR,
                event.attempt,
                event.worker,
                "reclaimed but unknown",
                "q:r",
                event.entry,
            )
            return
        if record.waiting or record.attempt != event.attempt:
            self.counters["repeated"] += 1
            if (record.place, record.entry) != ("q:r", event.entry):
                self._effects.append(Discard("q:r", event.entry))
            return
        self._unplace(record)
        record.place, record.entry = "q:r", event.entry
        self.counters["reclaimed"] += 1
        if event.started:
            record.starts += 1
            if event.reason in (Reason.WORKER_LOST, Reason.WORKER_RESTARTED):
                record.deaths += 1
        if record.cancelled:
            self._end_cancelled(record)
            return
        reason = why_not_again(record, self.settings.worker_killer_deaths)
        if reason is None:
            self._queue(record)
        else:
            self._bury(record, reason, event.worker, f"taken back: {event.reason.value}")

    def _task_finished(self, event: TaskFinished) -> None:
        record = self.tasks.get(event.task_id)
        if record is None:
            self.counters["repeated"] += 1
            return
        on_time = record.place == "i:" + event.worker and record.attempt == event.attempt
        if not on_time:
            self.counters["late"] += 1
            self._effects.append(Discard(record.place, record.entry))
        worker = self.roster.by_name.get(event.worker)
        if worker is not None:
            self.roster.heard(worker, self.now_ms)
        if event.outcome is Outcome.SUCCEEDED:
            self.counters["finished"] += 1
            self._learn(record, event, worker, on_time=on_time)
        elif event.outcome is Outcome.CANCELLED:
            self.counters["cancelled"] += 1
        else:
            self.counters["failed"] += 1
        self._forget(record)

    def _learn(self, record: TaskRecord, event: TaskFinished, worker: WorkerRecord | None, *, on_time: bool) -> None:
        run_ms = event.run_ms
        if not 0.0 <= run_ms <= DURATION_MS_MAX:
            return
        prediction = record.prediction if on_time else None
        if prediction is not None:
            self.counters["predictions"] += 1
            if abs(prediction.p50_ms - run_ms) <= TOLERANCE * run_ms:
                self.counters["predictions_within"] += 1
            if worker is not None and prediction.basis != PINNED:  # a pin says nothing of the worker
                self.roster.learn_factor(worker, run_ms, record.mean_ms)
        worker_class = "" if worker is None else worker.worker_class
        run = CompletedRun(record.task, event.worker, worker_class, run_ms, self.now_ms, prediction)
        for notice in self.forecasts.learn(run, record, self.now_ms):
            kind = notice.partition(":")[0]
            self.counters["distrusted" if kind == "distrust" else "drifts"] += 1
            self._notice(kind, notice)

    def _task_vanished(self, event: TaskVanished) -> None:
        record = self.tasks.get(event.task_id)
        if record is None or record.place != "i:" + event.worker or record.attempt != event.attempt:
            return
        self.counters["vanished"] += 1
        self._forget(record)

    def _task_refused(self, event: TaskRefused) -> None:
        self.counters["refused"] += 1
        task_id = event.task_id
        record = self.tasks.get(task_id)
        if record is not None:
            if event.reason is Reason.ENGINE_ERROR:
                # under quarantine: an input of our own that cannot be handled, so its task must end
                self._effects.append(Discard(record.place, record.entry))
                self._forget(record)
            else:
                # a hostile entry that borrows the id of a live task must not end that task
                task_id = ""
        self._end_dead(task_id, event.reason, 0, "", event.detail, event.stream, event.entry)

    def _cancel_requested(self, event: CancelRequested) -> None:
        record = self.tasks.get(event.task_id)
        if record is None or record.cancelled:
            return
        if record.waiting:
            self.backlog.remove(record)
            self._end_cancelled(record)
            return
        record.cancelled = True
        self.retracts.append((event.task_id, record.attempt))
        self._stops.append(record)

    def _end_cancelled(self, record: TaskRecord) -> None:
        self.counters["cancelled"] += 1
        self._effects.append(CancelQueued(record.task.id, record.place, record.entry))
        del self.tasks[record.task.id]

    def _bury(self, record: TaskRecord, reason: Reason, worker: str, detail: str) -> None:
        self._end_dead(record.task.id, reason, record.attempt, worker, detail, record.place, record.entry)
        del self.tasks[record.task.id]

    def _end_dead(
        self, task_id: str, reason: Reason, attempt: int, worker: str, detail: str, stream: str, entry: str
    ) -> None:
        self.counters["dead"] += 1
        self._effects.append(DeadLetter(task_id, reason, attempt, worker, detail, stream, entry))

    def _forget(self, record: TaskRecord) -> None:
        if record.waiting:
            self.backlog.remove(record)
        else:
            self._unplace(record)
        del self.tasks[record.task.id]

    def _unplace(self, record: TaskRecord) -> None:
        if record.stop_entry:
            self._effects.append(Discard(record.place, record.stop_entry))
            record.stop_entry = ""
        self.roster.settle(record)

    # -- taking back -------------------------------------------------------------------------------

    def _recall(self, worker: WorkerRecord, keep: int = 0) -> None:
        """Ask for everything back that a worker has not started, except the oldest `keep`."""
        for task_id in list(worker.placed)[keep:]:
            self.retracts.append((task_id, worker.placed[task_id].attempt))

    def _take_back(self) -> None:
        left = RETRACTS_MAX
        while self.retracts and left:
            task_id, attempt = self.retracts.popleft()
            record = self.tasks.get(task_id)
            if record is not None and not record.waiting and record.attempt == attempt:
                self._effects.append(Retract(task_id, attempt, record.worker, record.entry))
                left -= 1
        self.more = self.more or bool(self.retracts)

    def _send_stops(self) -> None:
        index = self._dispatches  # control messages follow the dispatches in the numbering
        for record in self._stops:
            # a later fact of the same turn may have ended it or brought it back
            if record.waiting or self.tasks.get(record.task.id) is not record:
                continue
            record.stop_entry = f"{self.seq}-{index}"
            self._effects.append(CancelRunning(record.task.id, record.attempt, record.worker, record.stop_entry))
            index += 1

    # -- workers -----------------------------------------------------------------------------------

    def _worker_joined(self, event: WorkerJoined) -> None:
        worker = self.roster.join(event, self.settings, self.placement.mode, self.now_ms)
        self._recall_excess(worker)  # it may have come back with fewer slots

    def _worker_reported(self, event: WorkerReported) -> None:
        worker = self._live(event.worker, event.incarnation)
        if worker is None:
            return
        self.roster.heard(worker, self.now_ms)
        if event.draining and not worker.draining:
            worker.draining = True
            self.roster.refresh(worker)
            self._recall(worker)

    def _worker_left(self, event: WorkerLeft) -> None:
        worker = self._live(event.worker, event.incarnation)
        if worker is None:
            return
        if event.lost:
            self.counters["workers_lost"] += 1
        # What it held returns by way of q:r. A dispatch that crossed its leaving lies in an inbox that
        # nobody reads: asking for all of it back is harmless for what has been reclaimed already.
        self._recall(worker)
        self.roster.leave(worker)

    def _worker_suspected(self, event: WorkerSuspected) -> None:
        worker = self.roster.by_name.get(event.worker)
        if worker is not None:
            worker.suspect = True
            self.roster.refresh(worker)

    def _worker_trusted(self, event: WorkerTrusted) -> None:
        worker = self.roster.by_name.get(event.worker)
        if worker is not None:
            worker.suspect = False
            self.roster.refresh(worker)

    def _live(self, name: str, incarnation: int) -> WorkerRecord | None:
        worker = self.roster.by_name.get(name)
        return worker if worker is not None and worker.incarnation == incarnation else None

    # -- configuration -----------------------------------------------------------------------------

    def _epoch_began(self, event: EpochBegan) -> None:
        self.epoch = event.epoch
        former, self.settings = self.settings, event.settings
        if event.settings != former:
            self.forecasts.configure(event.settings)
            self.placement.configure(event.settings)
            self._grant_credit()

    def _mode_changed(self, event: ModeChanged) -> None:
        self.placement.set_mode(event.mode)
        self._grant_credit()

    def _grant_credit(self) -> None:
        for worker in self.roster.ring:
            self.roster.grant_credit(worker, self.settings, self.placement.mode)
            self._recall_excess(worker)

    def _recall_excess(self, worker: WorkerRecord) -> None:
        if worker.in_flight > worker.credit:
            self._recall(worker, keep=worker.credit)

    def _predictor_overran(self, event: PredictorOverran) -> None:
        notice = self.forecasts.overran(event.predictor, self.now_ms)
        if notice is not None:
            self._effects.append(Noticed("overran", notice))

    def _predictor_chosen(self, event: PredictorChosen) -> None:
        forecasts = self.forecasts
        done = forecasts.choose_shadow(event.name) if event.shadow else forecasts.choose(event.name)
        if not done:
            self._notice("refused", f"refused: no predictor {event.name!r} can be chosen")

    def _notice(self, kind: str, detail: str) -> None:
        self.noticed += 1
        self._effects.append(Noticed(kind, detail))

    def _estimate_pinned(self, event: EstimatePinned) -> None:
        if not self.forecasts.pin(event, self.now_ms):
            self._effects.append(Noticed("refused", f"refused: no estimate can be pinned for {event.task_type!r}"))

    def _estimate_unpinned(self, event: EstimateUnpinned) -> None:
        self.forecasts.unpin(event.task_type)

    # -- comparing ---------------------------------------------------------------------------------

    def digest(self) -> int:
        """64 bit over what decisions depend on: tables, learned state, queue, breaker, rotation."""
        return digest_of(self)
