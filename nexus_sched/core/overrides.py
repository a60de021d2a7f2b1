"""Overrides of placement in force: where people want tasks to run, or not to run, and how urgent they are to be.

Laws
* What an override makes of a task (`model.overrides.overridden`) is part of the task's record for as long as it waits,
  so every way of deciding honours it: scoring, the fallbacks, reservations, copies and preemption see only its needs
  and its priority. What it was before is kept beside it (`History.own`).
* It is looked up when a task begins to wait, and again when an override begins or ends. Without any, that is one look
  at an empty table for each task, and nothing for a decision.
* It ends by the instant of the turn. What runs, runs on; what is placed and has not begun goes back if it may not run
  where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from nexus_sched.core.eligibility import allowed
from nexus_sched.core.records import TaskRecord
from nexus_sched.core.state import EngineState
from nexus_sched.model.events import OverrideAdded, OverrideRemoved
from nexus_sched.model.overrides import TASK, key_of, name_of

OVERRIDES_MAX = 256  # in force at once: a frame shows them all, and whoever needs more needs other labels


class Overriding:
    """Handlers of overrides. What is in force is with the state (`EngineState.overrides`)."""

    def __init__(self, state: EngineState, queue: Callable[[TaskRecord], None]) -> None:
        self._state = state
        self._queue = queue

    def added(self, event: OverrideAdded) -> None:
        """One begins, or takes the place of a former one."""
        state = self._state
        if len(state.overrides) >= OVERRIDES_MAX and state.overrides.get(key_of(event)) is None:
            state.notice("refused", f"refused: {OVERRIDES_MAX} overrides are in force, {name_of(event)} cannot be")
            return
        state.overrides.put(event)
        self._review(event.scope, event.subject)

    def removed(self, event: OverrideRemoved) -> None:
        """One ends before its time."""
        if self._state.overrides.drop(key_of(event)):
            self._review(event.scope, event.subject)

    def expire(self) -> None:
        """End those whose time is over, by the instant of the turn."""
        for scope, subject in self._state.overrides.expired(self._state.now_ms):
            self._review(scope, subject)

    def _review(self, scope: str, subject: str) -> None:
        """Whatever it concerns is looked at again: what waits stands elsewhere, what is placed may have to go back."""
        state = self._state
        if scope == TASK:
            found = [state.tasks[subject]] if subject in state.tasks else []
        else:
            found = [record for record in state.tasks.values() if record.task.type == subject]
        for record in found:
            if not record.waiting:
                self._recall(record)
                continue
            state.backlog.remove(record)
            if record.history is not None:
                record.history.reserve_at_ms = 0  # it may hold a worker that it may not run on any more
            self._queue(record)

    def _recall(self, record: TaskRecord) -> None:
        """Ask for a task back that has not begun, as far as is known, where it may not run any more."""
        state = self._state
        worker = state.roster.by_name.get(record.worker)
        task = state.overrides.applied(record.past.own or record.task)
        if worker is None or record.booked.cancelled or allowed(worker.name, task.terms.needs):
            return
        if record.task.id in islice(worker.placed, worker.slots, None):
            state.retracts.append((record.task.id, record.attempt))
