"""What people decide about one task: another priority, another worker, no more waiting for its retry.

A wish for a worker holds until the task is there: it stands aside until that worker is open to it, and goes nowhere
else. If the worker is gone, so is the wish.
"""

from __future__ import annotations

from math import inf

from msgspec import structs

from nexus_sched.core.eligibility import allowed, rejection, worth_ms
from nexus_sched.core.pauses import Pauses
from nexus_sched.core.placing import Placing
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.core.resources import fits
from nexus_sched.core.state import EngineState
from nexus_sched.model.events import RetryRequested, TaskBoosted, TaskReassigned, TasksPaused, TasksResumed


class TaskControl:
    """Handlers of decisions about tasks."""

    def __init__(self, state: EngineState, placing: Placing) -> None:
        self._state = state
        self._placing = placing
        self._pauses = Pauses(state)

    def paused(self, event: TasksPaused) -> None:
        """A type or the pool is paused."""
        self._pauses.paused(event)

    def resumed(self, event: TasksResumed) -> None:
        """It may go on."""
        for record in self._pauses.resumed(event):
            self._placing.queue(record)

    def boosted(self, event: TaskBoosted) -> None:
        """A waiting task has another priority from now on."""
        state = self._state
        record = state.tasks.get(event.task_id)
        if record is None or not record.waiting:
            state.notice("refused", f"refused: no task {event.task_id!r} waits that could be boosted")
            return
        state.backlog.remove(record)
        own = record.past.own
        if own is None:
            record.task = structs.replace(record.task, priority=event.priority)
        else:  # overrides come on top of it
            record.remembered().own = structs.replace(own, priority=event.priority)
        self._placing.queue(record)

    def retry_requested(self, event: RetryRequested) -> None:
        """A task that backs off, or was submitted with a delay, need not wait any longer."""
        state = self._state
        record = state.tasks.get(event.task_id)
        if record is None or not record.waiting or record.past.not_before_ms <= state.now_ms:
            state.notice("refused", f"refused: no task {event.task_id!r} waits for a retry or a delay")
            return
        state.backlog.remove(record)
        record.remembered().not_before_ms = 0
        self._placing.queue(record)

    def reassigned(self, event: TaskReassigned) -> None:
        """A task that has not begun goes to another worker: a certain one, or any but the one that has it."""
        state = self._state
        record = state.tasks.get(event.task_id)
        why_not = self._why_not(record, event.worker)
        if record is None or why_not:
            state.notice("refused", f"refused: task {event.task_id!r} is not reassigned: {why_not}")
            return
        if event.worker:
            state.wishes[event.task_id] = event.worker
        if not record.waiting:
            record.remembered().avoid = record.worker
            state.retracts.append((event.task_id, record.attempt))
        elif event.worker:
            state.backlog.remove(record)
            self._placing.queue(record)

    def _why_not(self, record: TaskRecord | None, worker: str) -> str:
        state = self._state
        if record is None or (not record.waiting and record.booked.cancelled):
            return "it neither waits nor runs"
        needs = state.overrides.applied(record.past.own or record.task).terms.needs
        if not worker:
            if needs.bounds is not None and needs.bounds.only == record.worker:
                return "an override pins it to the worker that has it"
            return "it waits, and nobody has it" if record.waiting else ""
        wanted = state.roster.by_name.get(worker)
        if wanted is None:
            return f"no worker {worker!r} is registered"
        if record.worker == worker:
            return "it is there"
        if not allowed(worker, needs):
            return f"an override keeps it from {worker!r}"
        could = worth_ms(wanted, needs) < inf and fits(wanted, needs.resources, ever=True)
        return "" if could else f"{worker!r} could never run it"

    def place_wished(self) -> None:
        """Hand out tasks whose wished worker is open to them; forget what can no longer be."""
        state = self._state
        for task_id, name in list(state.wishes.items()):
            record, worker = state.tasks.get(task_id), state.roster.by_name.get(name)
            if record is None or record.worker == name:
                del state.wishes[task_id]
            elif not record.waiting:
                continue  # with another worker, or on its way back from there
            elif worker is None:
                del state.wishes[task_id]
                state.backlog.remove(record)
                self._placing.queue(record)
            elif self._may_go(record, worker):
                del state.wishes[task_id]
                state.backlog.remove(record)
                self._placing.queue(record)
                self._placing.dispatch_to(record, worker)

    def _may_go(self, record: TaskRecord, worker: WorkerRecord) -> bool:
        """Whether a task that waits for its wished worker, and for nothing else, can be handed to it now."""
        state = self._state
        if not record.past.held or state.paused or record.task.type in state.pauses:
            return False
        return rejection(worker, record.task.terms.needs) is None and state.backlog.admits(record, state.now_ms)
