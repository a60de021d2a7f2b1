"""Turns that another version has decided: what happened is taken in, what was decided is carried out as recorded.

Laws of this file:
  1. Where a task is, and under which attempt, is what the recorded effects say, for the store has carried them out.
  2. What is learned from events, and what is known of workers, is this version's own: events are handled as ever.
  3. What this version would have decided otherwise in the same turn is not done, and is no fault. It may be done by a
     later turn of its own.
  4. Effects that cannot be carried out on this state are refused (`VersionsDiffer`), and it is of no use any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from nexus_sched.core.placing import Placing
from nexus_sched.core.records import TaskRecord
from nexus_sched.core.state import EngineState
from nexus_sched.errors import VersionsDiffer
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.effects import (
    AnyEffect,
    CancelQueued,
    CancelRunning,
    DeadLetter,
    Discard,
    Dispatch,
    Retract,
)


class Following:
    """Carries out recorded effects on a state that has taken in the events of their turn."""

    def __init__(self, state: EngineState, placing: Placing) -> None:
        self._state = state
        self._placing = placing

    def carry_out(self, effects: Sequence[AnyEffect]) -> None:
        """Do what was decided, and nothing else. Raises `VersionsDiffer`."""
        state = self._state
        ended = {effect.task_id for effect in effects if isinstance(effect, DeadLetter | CancelQueued)}
        gone = {(effect.stream, effect.entry) for effect in effects if isinstance(effect, Discard)}
        for record in state.ended:  # not so decided, nor has it ended by a later fact of the turn
            if record.task.id not in ended and (record.place, record.entry) not in gone:
                state.tasks[record.task.id] = record
                self._placing.queue(record)
        for record in state.backlog.delayed_due(state.now_ms):
            self._placing.queue(record)
        for effect in effects:
            match effect:
                case Dispatch():
                    self._dispatch(effect.decision, as_copy=not effect.stream)
                case DeadLetter() | CancelQueued():
                    self._end(effect.task_id)
                case CancelRunning():
                    self._stop(effect)
                case Retract():
                    if (effect.task_id, effect.attempt) in state.retracts:
                        state.retracts.remove((effect.task_id, effect.attempt))
                case _:
                    pass  # moves no task, or is looked at below
        if gone:
            self._compare(gone)
        state.questions.clear()
        state.more = False

    def _dispatch(self, decision: SchedulingDecision, *, as_copy: bool) -> None:
        state = self._state
        record, worker = state.tasks.get(decision.task_id), state.roster.by_name.get(decision.worker)
        if record is None or worker is None:
            raise VersionsDiffer(
                f"turn {state.seq} hands {decision.task_id} to {decision.worker}, and one of them is not known here"
            )
        if as_copy:
            state.drop_copy(record)
            placed = self._placing.copy_to(record, state.placement.directed(record.task, worker, state.now_ms))
            record.remembered().attempts = decision.attempt
        else:
            self._let_wait(record)
            self._placing.dispatch_to(record, worker)
            placed = record
        placed.attempt = decision.attempt

    def _let_wait(self, record: TaskRecord) -> None:
        """Let a task stand in the order, wherever it is, so that it can be pulled out of it."""
        state = self._state
        if record.ticket > 0:
            return
        if record.waiting:
            state.backlog.remove(record)
        else:
            state.drop_copy(record)
            state.unplace(record)
            record.booking = None
        record.mean_ms = -1.0
        state.backlog.push(record, 0.0)

    def _end(self, task_id: str) -> None:
        record = self._state.tasks.get(task_id)
        if record is not None:
            self._state.forget(record)

    def _stop(self, effect: CancelRunning) -> None:
        record = self._state.record_of(effect.task_id, effect.attempt)
        if record is not None:
            record.booked.stop_entry = effect.inbox_entry

    def _compare(self, gone: set[tuple[str, str]]) -> None:
        """No task may be where its pointer was removed."""
        state = self._state
        for record in (*state.tasks.values(), *state.copies.values()):
            spare = "" if record.booking is None else record.booking.spare
            if (record.place, record.entry) in gone or (spare and ("q:r", spare) in gone):
                raise VersionsDiffer(f"turn {state.seq} removes {record.task.id} from {record.place}, where it is here")
