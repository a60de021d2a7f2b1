"""When a task will start and finish, from the placement that this very engine makes.

At submission, for tasks that ask (`terms.eta`), at the end of the turn in which they arrived: most have been placed
by then, and the estimate is the chosen worker's wait plus the prediction for that worker. Those that wait get the time
until the order comes to them (`core.eta_queue`), what tasks that waited then lie in an inbox, and a run on no worker
in particular. What comes out is calibrated, and judged when the task ends (`core.eta_calibration`).

An estimate is made anew when the task is placed after all, runs longer than predicted, or is taken back, and told
again if its end has moved by more than a quarter of what remained. A type that never ran has no estimate.

Law: a task that does not ask costs nothing here, and one that asks changes no decision; except that a task with a
strict deadline that is hopeless is refused when it arrives. What is kept of a task that has ended is swept out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from nexus_sched.core.eta_calibration import WAITED, Calibration, Raw, on_time
from nexus_sched.core.eta_estimator import Estimator
from nexus_sched.core.eta_opinion import Opinions
from nexus_sched.core.eta_queue import EtaQueue, QueueState
from nexus_sched.core.records import TaskRecord
from nexus_sched.core.slices import parts
from nexus_sched.model.effects import Estimated
from nexus_sched.model.eta import NO_ESTIMATE, Eta
from nexus_sched.model.outcome import Reason

if TYPE_CHECKING:
    from nexus_sched.core.state import EngineState

TOLERANCE = 0.25  # an estimate is right if the time to the end was at most this share more or less
MOVED_SHARE = 0.25  # of what remained: an end that moved by more is told
HOPELESS = 0.05  # a strict deadline that is met with a lower probability refuses the task
TOLD_MAX = 256  # in one turn: each is three commands for the store
STALE_MAX = 1_024  # estimates of tasks that have ended; more than that are swept out
SLOTS_EVERY_MS = 100  # between two looks at all workers, while anybody asks


class Told(Struct, array_like=True):
    """What a submitter was told: `raw`, `at_ms` and `p50_ms` at submission, `eta` the last time."""

    at_ms: int
    p50_ms: float  # of the finish, as it was told first; -1 without an estimate
    raw: Raw | None
    eta: Eta
    attempt: int = 0  # that `opinions` are about
    opinions: tuple[float, float] | None = None  # p50 of the run without and with a second opinion, in ms


class EtaState(Struct, array_like=True):
    """What a snapshot keeps."""

    told: dict[str, Told]
    calibration: Calibration
    queue: QueueState
    due: list[str]  # tasks that are still to be told
    gains: dict[str, float] = {}


class Etas:
    """The estimates of an engine."""

    def __init__(self, state: EngineState) -> None:
        self._state = state
        self._due: dict[str, TaskRecord] = {}  # to be estimated at the end of this turn
        self.told: dict[str, Told] = {}  # by task id
        self._calibration = Calibration.fresh()
        self._opinions = Opinions()
        self.queue = EtaQueue()
        self._estimator = Estimator(state, self.queue, self._opinions)

    # -- what happens to tasks

    def submitted(self, record: TaskRecord) -> bool:
        """A task with terms has arrived and waits. False if it was refused and is gone."""
        state, terms = self._state, record.task.terms
        if terms.eta:
            self._due[record.task.id] = record
            self._wake()
        if not terms.deadline_strict or not terms.deadline_at_ms:
            return True
        self._wake()
        raw = self._estimator.estimate(record).raw
        chance = 1.0 if raw is None else self._on_time(record, self._calibration.factors(raw.way).quantiles(raw))
        if chance >= HOPELESS and terms.deadline_at_ms > state.now_ms:
            return True
        left_s = (terms.deadline_at_ms - state.now_ms) / 1e3
        p50_s = 0.0 if raw is None else raw.finish_p50_ms / 1e3
        detail = f"{left_s:.3f} s are left, half of such tasks need {p50_s:.3f} s or more"
        self._due.pop(record.task.id, None)
        state.backlog.remove(record)
        state.bury(record, Reason.DEADLINE, "", detail)
        return False

    def moved(self, record: TaskRecord) -> None:
        """A task was placed, taken back, or runs longer than predicted: look at it at the end of the turn."""
        if record.task.id in self.told:
            self._due[record.task.id] = record

    def placed(self, record: TaskRecord, wait_ms: float) -> None:
        """The same, and it will lie in its worker's inbox for so long."""
        told = self.told.get(record.task.id)
        if told is not None:
            self._due[record.task.id] = record
            if told.raw is not None and told.raw.way == WAITED:
                self.queue.landed(wait_ms)

    def finished(self, record: TaskRecord, run_ms: float) -> None:
        """A run has succeeded: was its estimate right?"""
        told = self.told.pop(record.task.id, None)
        if told is None or told.raw is None:
            return
        if told.opinions is not None and told.attempt == record.attempt:
            self._opinions.judge(record.task.type, run_ms, *told.opinions)
        state = self._state
        actual_ms = max(1.0, state.now_ms - told.at_ms - state.settings.round_trip_ms / 2.0)
        within = abs(told.p50_ms - actual_ms) <= TOLERANCE * actual_ms
        state.counters["etas"] += 1
        state.counters["etas_within"] += within
        self._calibration.count(within=within)
        self._calibration.factors(told.raw.way).learn(told.raw, actual_ms)

    # -- telling

    def end_turn(self) -> None:
        """Tell what is new, and let the model of the queue keep up. Call it when everything has been placed."""
        state = self._state
        if self.told:
            for record in state.overdue.late:
                self.moved(record)
        if self._due:
            for task_id in list(islice(self._due, TOLD_MAX)):
                record = self._due.pop(task_id)
                if state.tasks.get(task_id) is record:
                    self._tell(record)
            state.more = state.more or bool(self._due)
            if len(self.told) > 2 * len(state.tasks) + STALE_MAX:
                self.told = {task_id: told for task_id, told in self.told.items() if task_id in state.tasks}
        if state.backlog.listener is not None:
            if state.now_ms > self.queue.state.awake_until_ms:
                self.queue.sleep()
                state.backlog.listener = None
            else:
                if state.now_ms - self.queue.state.slots_at_ms >= SLOTS_EVERY_MS:
                    self._count_slots()
                self.queue.turn(state.backlog.ready, state.now_ms)

    def _tell(self, record: TaskRecord) -> None:
        state, task_id = self._state, record.task.id
        told = self.told.get(task_id)
        raw, opinions = self._estimator.estimate(record)
        eta = self._eta(record, raw)
        if told is None:
            self.told[task_id] = Told(state.now_ms, eta.finish_p50_ms, raw, eta, record.attempt, opinions)
        else:
            told.attempt, told.opinions = record.attempt, opinions
            if not self._has_moved(told.eta, eta):
                return
            told.eta = eta
        state.effects.append(Estimated(task_id, eta))

    @staticmethod
    def _has_moved(before: Eta, now: Eta) -> bool:
        if not (before.known and now.known):
            return before.known != now.known
        end_ms = before.at_ms + before.finish_p50_ms
        remained_ms = max(1.0, end_ms - now.at_ms)
        return abs(now.at_ms + now.finish_p50_ms - end_ms) > MOVED_SHARE * remained_ms

    def eta_of(self, record: TaskRecord) -> Eta:
        """When a live task will start and finish, as of this turn."""
        self._wake()
        return self._eta(record, self._estimator.estimate(record).raw)

    def _wake(self) -> None:
        state = self._state
        if state.backlog.listener is None:
            state.backlog.listener = self.queue
            self._count_slots()
        self.queue.wake(state.tasks.values(), state.now_ms)

    def _count_slots(self) -> None:
        state = self._state
        slots = sum(worker.slots for worker in state.roster.ring if worker.accepting)
        self.queue.state.slots, self.queue.state.slots_at_ms = slots, state.now_ms

    def _eta(self, record: TaskRecord, raw: Raw | None) -> Eta:
        state = self._state
        recent = self._calibration.recent_within
        if raw is None:
            return Eta(state.now_ms, *NOTHING, 0.0, NO_ESTIMATE, recent_within=recent)
        quantiles = self._calibration.factors(raw.way).quantiles(raw)
        start_ms = min(raw.start_p50_ms, quantiles[0])
        return Eta(
            state.now_ms,
            start_ms,
            min(start_ms + raw.start_spread80_ms, quantiles[1]),
            min(start_ms + raw.start_spread95_ms, quantiles[2]),
            *quantiles,
            raw.confidence,
            raw.basis,
            self._on_time(record, quantiles),
            recent,
        )

    def _on_time(self, record: TaskRecord, quantiles: tuple[float, float, float]) -> float:
        deadline_at_ms = record.task.terms.deadline_at_ms
        return on_time(quantiles, deadline_at_ms - self._state.now_ms) if deadline_at_ms else -1.0

    # -- snapshots

    def snapshot(self) -> EtaState:
        """Everything, in values."""
        return EtaState(self.told, self._calibration, self.queue.state, list(self._due), self._opinions.gains)

    def restore(self, kept: EtaState) -> Iterator[None]:
        """The opposite of `snapshot`, in parts; tasks and backlog are there already."""
        self.told, self._calibration = kept.told, kept.calibration
        self._opinions.gains = kept.gains
        tasks = self._state.tasks
        self._due = {task_id: tasks[task_id] for task_id in kept.due if task_id in tasks}
        self.queue.state = kept.queue
        if self.queue.awake:
            self.queue.restore(kept.queue, ())
            for part in parts(tasks.values()):
                self.queue.add(part)
                yield
            self._state.backlog.listener = self.queue

    def scalars(self) -> tuple[object, ...]:
        """What a digest covers: the corrections, and what the model of the queue has measured."""
        return (
            len(self.told),
            repr(self._calibration),
            repr(self.queue.scalars()),
            tuple(self._opinions.gains.items()),
        )


NOTHING = (-1.0,) * 6
