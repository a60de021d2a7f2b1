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

from heapq import heapreplace
from itertools import islice
from math import sqrt
from typing import TYPE_CHECKING

from msgspec import Struct

from nexus_sched.core.eta_calibration import BEHIND, FREE_SLOT, WAITED, Calibration, Raw, on_time
from nexus_sched.core.eta_queue import EtaQueue, QueueState
from nexus_sched.core.freeing import left_ms
from nexus_sched.core.predictors.learned import STRANGE
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.model.effects import Estimated
from nexus_sched.model.eta import NO_ESTIMATE, Eta
from nexus_sched.model.outcome import Reason
from nexus_sched.model.prediction import TaskPrediction

if TYPE_CHECKING:
    from nexus_sched.core.state import EngineState

TOLERANCE = 0.25  # an estimate is right if the time to the end was at most this share more or less
MOVED_SHARE = 0.25  # of what remained: an end that moved by more is told
HOPELESS = 0.05  # a strict deadline that is met with a lower probability refuses the task
TOLD_MAX = 256  # in one turn: each is three commands for the store
STALE_MAX = 1_024  # estimates of tasks that have ended; more than that are swept out
SLOTS_EVERY_MS = 100  # between two looks at all workers, while anybody asks
Z80_OF_Z95 = 0.5117  # standard normal quantiles, 0.8416 / 1.6449: a spread to p80 from one to p95


class Told(Struct, array_like=True):
    """What a submitter was told: `raw`, `at_ms` and `p50_ms` at submission, `eta` the last time."""

    at_ms: int
    p50_ms: float  # of the finish, as it was told first; -1 without an estimate
    raw: Raw | None
    eta: Eta


class EtaState(Struct, array_like=True):
    """What a snapshot keeps."""

    told: dict[str, Told]
    calibration: Calibration
    queue: QueueState
    due: list[str]  # tasks that are still to be told


class Etas:
    """The estimates of an engine."""

    def __init__(self, state: EngineState) -> None:
        self._state = state
        self._due: dict[str, TaskRecord] = {}  # to be estimated at the end of this turn
        self.told: dict[str, Told] = {}  # by task id
        self._calibration = Calibration.fresh()
        self.queue = EtaQueue()

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
        raw = self._waiting(record)
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

    def finished(self, record: TaskRecord) -> None:
        """A run has succeeded: was its estimate right?"""
        told = self.told.pop(record.task.id, None)
        if told is None or told.raw is None:
            return
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
        eta, raw = self._estimate(record)
        if told is None:
            self.told[task_id] = Told(state.now_ms, eta.finish_p50_ms, raw, eta)
        elif not self._has_moved(told.eta, eta):
            return
        else:
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
        return self._estimate(record)[0]

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

    def _estimate(self, record: TaskRecord) -> tuple[Eta, Raw | None]:
        state = self._state
        raw = self._waiting(record) if record.waiting else self._placed(record)
        recent = self._calibration.recent_within
        if raw is None:
            return Eta(state.now_ms, *NOTHING, 0.0, NO_ESTIMATE, recent_within=recent), None
        quantiles = self._calibration.factors(raw.way).quantiles(raw)
        start_ms = min(raw.start_p50_ms, quantiles[0])
        eta = Eta(
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
        return eta, raw

    def _on_time(self, record: TaskRecord, quantiles: tuple[float, float, float]) -> float:
        deadline_at_ms = record.task.terms.deadline_at_ms
        return on_time(quantiles, deadline_at_ms - self._state.now_ms) if deadline_at_ms else -1.0

    # -- estimating

    def _placed(self, record: TaskRecord) -> Raw | None:
        worker = self._state.roster.by_name.get(record.worker)
        prediction = _own(record.prediction)
        if worker is None or prediction is None:
            return None
        now_ms = self._state.now_ms
        transit_ms = self._state.settings.round_trip_ms / 2.0
        before = _before(worker, record, now_ms) if worker.in_flight > worker.slots else None
        if before is not None:
            start_ms, spread95_ms = before
            return _sum(prediction, start_ms + transit_ms, Z80_OF_Z95 * spread95_ms, spread95_ms, BEHIND)
        passed_ms = float(max(0, now_ms - record.placed_ms))
        if not passed_ms:
            return _sum(prediction, transit_ms, 0.0, 0.0, FREE_SLOT)
        p50_ms, spread95_ms = left_ms(record, now_ms) or (0.0, 0.0)
        spread80_ms = min(max(0.0, prediction.p80_ms - passed_ms - p50_ms), spread95_ms)
        if record.overdue:
            spread80_ms = Z80_OF_Z95 * spread95_ms
        known = (prediction.confidence, prediction.basis)
        return Raw(0.0, 0.0, 0.0, p50_ms, spread80_ms, spread95_ms, *known, FREE_SLOT)

    def _waiting(self, record: TaskRecord) -> Raw | None:
        state, queue = self._state, self.queue
        prediction = _own(state.forecasts.predict(record.task, state.now_ms))
        if prediction is None:
            return None
        held_ms = float(max(0, record.not_before_ms - state.now_ms))
        wait_ms = 0.0
        if record.ticket > 0 and state.backlog.ready > state.roster.table.open_count:
            wait_ms = queue.wait_ms(record, state.now_ms)
        landing_ms = max(0.0, queue.state.landing_p50_ms)
        landing_spread_ms = max(0.0, queue.state.landing_p80_ms) - landing_ms
        spread80_ms = sqrt((WAIT_SPREAD * wait_ms) ** 2 + landing_spread_ms**2)
        start_ms = max(wait_ms, held_ms) + landing_ms + state.settings.round_trip_ms / 2.0
        return _sum(prediction, start_ms, spread80_ms, spread80_ms / Z80_OF_Z95, WAITED)

    # -- snapshots

    def snapshot(self) -> EtaState:
        """Everything, in values."""
        return EtaState(self.told, self._calibration, self.queue.state, list(self._due))

    def restore(self, kept: EtaState) -> None:
        """The opposite of `snapshot`; tasks and backlog are there already."""
        self.told, self._calibration = kept.told, kept.calibration
        tasks = self._state.tasks
        self._due = {task_id: tasks[task_id] for task_id in kept.due if task_id in tasks}
        self.queue.state = kept.queue
        if self.queue.awake:
            self.queue.restore(kept.queue, self._state.tasks.values())
            self._state.backlog.listener = self.queue

    def scalars(self) -> tuple[object, ...]:
        """What a digest covers: the corrections, and what the model of the queue has measured."""
        return (len(self.told), repr(self._calibration), repr(self.queue.scalars()))


NOTHING = (-1.0,) * 6
WAIT_SPREAD = 0.2  # of the wait in the queue, to its p80, before calibration


def _own(prediction: TaskPrediction | None) -> TaskPrediction | None:
    """The prediction, if it is of the task's own type or hint: nobody is told what other types took."""
    return None if prediction is None or prediction.basis in STRANGE else prediction


def _sum(prediction: TaskPrediction, start_ms: float, spread80_ms: float, spread95_ms: float, way: int) -> Raw:
    """A wait and a run behind it. They err independently: the spread of the sum is the root of the summed squares."""
    run80_ms = max(0.0, prediction.p80_ms - prediction.p50_ms)
    run95_ms = max(run80_ms, prediction.p95_ms - prediction.p50_ms)
    return Raw(
        start_ms,
        spread80_ms,
        spread95_ms,
        start_ms + prediction.p50_ms,
        sqrt(spread80_ms**2 + run80_ms**2),
        sqrt(spread95_ms**2 + run95_ms**2),
        prediction.confidence,
        prediction.basis,
        way,
    )


def _before(worker: WorkerRecord, record: TaskRecord, now_ms: int) -> tuple[float, float] | None:
    """Median and spread to p95 of the time until a task has a slot, as in `core.freeing`; `None` if it has one."""
    slots = [(0.0, 0.0)] * worker.slots
    for index, other in enumerate(worker.placed.values()):
        if other is record:
            return None if index < worker.slots else (slots[0][0], sqrt(slots[0][1]))
        prediction = other.prediction
        if prediction is None:
            continue
        if index < worker.slots:
            p50_ms, spread_ms = left_ms(other, now_ms) or (0.0, 0.0)
        else:
            p50_ms, spread_ms = prediction.p50_ms, max(0.0, prediction.p95_ms - prediction.p50_ms)
        at_ms, variance = slots[0]
        heapreplace(slots, (at_ms + p50_ms, variance + spread_ms * spread_ms))
    return None
