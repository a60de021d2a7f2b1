"""Pauses: tasks of a type, or of the whole pool, are not handed out until somebody lets them go on.

What runs, runs on; what waits, waits, and can be cancelled. Tasks of a paused type stand aside, so that they cost no
look while others are placed; a pool that is paused keeps its order and only its clock goes on.
"""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.core.records import TaskRecord
from nexus_sched.core.state import EngineState
from nexus_sched.model.events import TasksPaused, TasksResumed

PAUSES_MAX = 1_000
POOL = ""  # stands for the type: all of them


class Pause(Struct, array_like=True):
    """What an operator decided of a type, or of the pool."""

    reason: str
    actor: str
    at_ms: int


class Pauses:
    """Handlers of pauses. What is paused is with the state (`EngineState.pauses`), by type."""

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def paused(self, event: TasksPaused) -> None:
        """Nobody is given tasks of this type any more."""
        state = self._state
        if event.task_type not in state.pauses and len(state.pauses) >= PAUSES_MAX:
            state.notice("refused", f"refused: {PAUSES_MAX} types are paused, {event.task_type!r} cannot be as well")
            return
        state.pauses[event.task_type] = Pause(event.reason, event.actor, state.now_ms)
        if event.task_type != POOL:
            for record in list(state.tasks.values()):
                if record.task.type == event.task_type and record.waiting and record.ticket > 0:
                    state.backlog.remove(record)
                    hold(state, record)

    def resumed(self, event: TasksResumed) -> list[TaskRecord]:
        """They may go on; the answer is who has to be queued again, no longer in the backlog."""
        state = self._state
        if state.pauses.pop(event.task_type, None) is None or event.task_type == POOL:
            return []
        freed = [
            record
            for record in state.tasks.values()
            if record.task.type == event.task_type and record.waiting and record.past.held
        ]
        for record in freed:
            state.backlog.remove(record)
        return freed


def held(state: EngineState, record: TaskRecord) -> bool:
    """Whether a task has to stand aside because of what people decided."""
    return record.task.type in state.pauses or record.task.id in state.wishes


def hold(state: EngineState, record: TaskRecord) -> None:
    """Let a task that is in a queue stream, and not in the backlog, stand aside until somebody decides otherwise."""
    record.remembered().held = True
    record.mean_ms = -1.0
    state.backlog.delay(record)
