"""The end of a turn: place what can be placed, ask back what must come back, tell who must stop."""

from __future__ import annotations

from math import ceil, inf

from nexus_sched.core.backlog.order import order_key, order_weight
from nexus_sched.core.copies import Copies
from nexus_sched.core.decide import decide
from nexus_sched.core.pauses import held, hold
from nexus_sched.core.placement import Choice
from nexus_sched.core.preemption import Preemption
from nexus_sched.core.records import History, TaskRecord, WorkerRecord
from nexus_sched.core.state import EngineState
from nexus_sched.model.effects import CancelRunning, Discard, Dispatch, Retract
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import PREDICTIVE

DECISIONS_MAX = 256  # in one turn; the store moves at most this many in one commit
RETRACTS_MAX = 256


class Placing:
    """Moves tasks from the backlog to workers, and back."""

    def __init__(self, state: EngineState, preemption: Preemption, copies: Copies) -> None:
        self._state = state
        self._preemption = preemption
        self._copies = copies

    def place_waiting(self) -> None:
        """Hand out what waits, as far as workers are open and the bound of a turn allows."""
        state = self._state
        now_ms = state.now_ms
        backlog, table, placement, suspects = state.backlog, state.roster.table, state.placement, state.suspects
        self._keep_time()
        backlog.begin_turn(now_ms)
        if state.paused:
            state.more = False
            return
        left = DECISIONS_MAX - self._place_reserving()
        while left > 0 and table.open_count and backlog.ready:
            record = backlog.first(now_ms)
            if record is None:
                break
            avoid = () if record.history is None else suspects.avoided_by(record)
            choice = placement.place(record.task, now_ms, avoid)
            if choice is None:
                if placement.held:
                    backlog.block()
                else:
                    self._refuse(record)
                continue
            backlog.take(now_ms)
            self._dispatch(record, choice)
            left -= 1
        state.more = left <= 0 and table.open_count > 0 and backlog.ready > 0

    def due_ms(self) -> int | None:
        """When a busy worker comes within reach of what waits, in milliseconds since the epoch; `None`: of nothing."""
        state = self._state
        table = state.roster.table
        if state.paused or not (state.backlog.ready and table.open_count) or state.placement.mode != PREDICTIVE:
            return None
        after_ms = table.next_within_ms(state.placement.scoring.reach_ms)
        return None if after_ms < 0.0 else state.now_ms + max(1, ceil(after_ms))

    def _place_reserving(self) -> int:
        """Hand out what holds a worker, if it fits somewhere now; how many that was."""
        state = self._state
        now_ms = state.now_ms
        placed = 0
        for record in state.reservations.tried(state.tasks, now_ms):
            if not state.backlog.admits(record, now_ms):
                record.remembered().reserve_at_ms = 0
                continue
            choice = state.placement.place(record.task, now_ms, state.suspects.avoided_by(record))
            if choice is not None:
                state.backlog.pull(record, now_ms)
                self._dispatch(record, choice)
                placed += 1
        return placed

    def _refuse(self, record: TaskRecord) -> None:
        """No open worker is feasible for the task whose turn it is: let others pass, but not for ever."""
        state = self._state
        weight = order_weight(state.settings, state.placement.mode)
        patience_ms = weight * max(0.0, record.mean_ms) + state.settings.reserve_after_ms
        state.reservations.refused(record, patience_ms, state.now_ms)
        state.backlog.block()

    def _keep_time(self) -> None:
        """Let delayed tasks wait for their turn, and end what has missed a deadline that it insists on."""
        state = self._state
        backlog = state.backlog
        for record in backlog.delayed_due(state.now_ms):
            self.queue(record)
        for record in backlog.deadlines_passed(state.now_ms):
            backlog.remove(record)
            state.bury(record, Reason.DEADLINE, "", "its deadline passed while it waited")

    def place_copies(self) -> None:
        """Hand out second runs of what takes far too long, where a slot is free elsewhere."""
        state = self._state
        for record in self._copies.wanted():
            if not state.roster.table.open_count:
                return
            own = record.past.own or record.task
            copy = TaskRecord(own, "", "", attempt=record.attempt, history=History(avoid=record.worker))
            if state.overrides.in_force:
                state.overrides.apply(copy)
            choice = state.placement.place(copy.task, state.now_ms, (record.worker,))
            if choice is None or choice.worker.name == record.worker or choice.worker.in_flight >= choice.worker.slots:
                continue
            self._place_copy(record, copy, choice)

    def copy_to(self, record: TaskRecord, choice: Choice) -> TaskRecord:
        """A second run of a placed task, on a worker that somebody chose."""
        copy = TaskRecord(record.past.own or record.task, "", "", attempt=record.attempt)
        self._place_copy(record, copy, choice)
        return copy

    def _place_copy(self, record: TaskRecord, copy: TaskRecord, choice: Choice) -> None:
        self._hand_out(copy, choice)
        copy.booked.copied = True
        record.remembered().attempts = copy.attempt
        self._state.copies[record.task.id] = copy
        self._state.counters["copies"] += 1

    def dispatch_to(self, record: TaskRecord, worker: WorkerRecord) -> None:
        """Hand a task that stands in the order to a worker that people chose, which is open to it."""
        state = self._state
        state.backlog.pull(record, state.now_ms)
        self._dispatch(record, state.placement.directed(record.task, worker, state.now_ms))

    def _dispatch(self, record: TaskRecord, choice: Choice) -> None:
        state = self._state
        wait_ms = self._hand_out(record, choice)
        if record.history is not None:
            state.suspects.placed(record, state.tasks)
        state.overdue.watch(record, wait_ms, state.now_ms)
        if state.settings.preemption.enabled:
            self._preemption.watch(record)
        if state.settings.reaction.speculate:
            self._copies.watch(record)
        if state.etas.told:
            state.etas.placed(record, wait_ms)

    def _hand_out(self, record: TaskRecord, choice: Choice) -> float:
        """Decide, book and record; gives how long the task is expected to wait in the worker's inbox, in ms."""
        state = self._state
        worker = choice.worker
        why = state.placement.reasons.of(record.task, choice, state.counters["dispatched"])
        promised_ms = state.placement.reasons.promised_ms
        overrides = state.overrides.names_of(record.task) if state.overrides.in_force else ()
        decision, booking = decide(record, choice, state.forecasts, why, overrides, state.now_ms)
        if promised_ms != inf:
            booking.other_at_ms = state.now_ms + int(promised_ms)
        if state.backlog.fairness.shared:
            state.backlog.charge(record)
        state.effects.append(Dispatch(decision, record.place, record.entry))
        record.place = "i:" + worker.name
        record.entry = f"{state.seq}-{state.dispatches}"
        state.dispatches += 1
        wait_ms = state.roster.table.wait_ms(worker.row)
        booking.placed_ms = state.now_ms + round(wait_ms)
        state.roster.book(worker, record)
        state.placement.scoring.sent(record.task, worker, state.now_ms)
        state.counters["dispatched"] += 1
        state.counters["predictive" if choice.policy == PREDICTIVE else "fallback"] += 1
        return wait_ms

    def queue(self, record: TaskRecord) -> None:
        """Let a task that is in a queue stream wait for its turn, or for the time from which it may have one."""
        state = self._state
        record.booking = None
        history = record.history
        if state.overrides.in_force or (history is not None and history.own is not None):
            state.overrides.apply(record)
            history = record.history
        if history is not None:
            history.held = False
            if history.not_before_ms > state.now_ms:
                record.mean_ms = -1.0
                state.backlog.delay(record)
                return
        if (state.pauses or state.wishes) and held(state, record):
            hold(state, record)
            return
        prediction = state.forecasts.predict(record.task, state.now_ms)
        record.mean_ms = -1.0 if prediction is None else prediction.mean_ms
        weight = order_weight(state.settings, state.placement.mode)
        state.backlog.push(record, order_key(record.task, prediction, weight, state.settings))

    def take_back(self) -> None:
        """Ask for what was recalled, as far as the bound of a turn allows.

        Not for a run whose copy began and came back: the store then knows of no run any more, and would give it back
        although it has begun. Should it not have begun, the store lets it begin no more, and it vanishes.
        """
        state = self._state
        left = RETRACTS_MAX
        while state.retracts and left:
            task_id, attempt = state.retracts.popleft()
            record = state.record_of(task_id, attempt)
            if record is not None and not (record.booked.spare and record.worker in state.roster.by_name):
                state.effects.append(Retract(task_id, attempt, record.worker, record.entry))
                left -= 1
        state.more = state.more or bool(state.retracts)

    def send_stops(self) -> None:
        """Tell workers which runs must end; control messages follow the dispatches in the numbering."""
        state = self._state
        index = state.dispatches
        for record in state.stops:
            # a later fact of the same turn may have ended it or brought it back
            if record.waiting or state.tasks.get(record.task.id) is not record:
                continue
            booking = record.booked
            if booking.stop_entry:  # to give way, and now to end
                state.effects.append(Discard(record.place, booking.stop_entry))
            booking.stop_entry = f"{state.seq}-{index}"
            preempt = booking.gives_way >= 0 and not booking.cancelled
            state.effects.append(
                CancelRunning(record.task.id, record.attempt, record.worker, booking.stop_entry, preempt)
            )
            index += 1
        for stray in state.strays:
            entry = f"{state.seq}-{index}"
            state.effects.append(CancelRunning(stray.task.id, stray.attempt, stray.worker, entry))
            index += 1
