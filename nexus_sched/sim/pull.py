"""One shared queue, first come first served: a worker with a free slot takes the oldest task and holds no other.

Idle workers are served in the order in which they became idle, like readers that block on a queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.effects import AnyEffect, Dispatch
from nexus_sched.model.events import (
    AnyEvent,
    TaskFinished,
    TaskReclaimed,
    TaskSubmitted,
    WorkerJoined,
    WorkerLeft,
    WorkerSuspected,
)


class SharedQueue:
    """A core without prediction: a queue of tasks meets a queue of free slots."""

    ready = False
    next_due_ms: int | None = None

    def __init__(self) -> None:
        self._tasks: deque[str] = deque()
        self._attempts: dict[str, int] = {}
        self._free: deque[str] = deque()  # the name of a worker once for each free slot
        self._slots: dict[str, int] = {}  # of workers that take part

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:  # noqa: ARG002 - a core's
        """Take in what has happened, and serve free slots."""
        for event in events:
            if isinstance(event, TaskSubmitted):
                self._attempts[event.task.id] = 0
                self._tasks.append(event.task.id)
            elif isinstance(event, TaskFinished):
                self._attempts.pop(event.task_id, None)
                if event.worker in self._slots:
                    self._free.append(event.worker)
            elif isinstance(event, TaskReclaimed):
                self._tasks.appendleft(event.task_id)  # its slot went, or came back, with its worker
            elif isinstance(event, WorkerJoined):
                self._joined(event)
            elif isinstance(event, WorkerSuspected | WorkerLeft):
                self._gone(event.worker)
        effects: list[AnyEffect] = []
        while self._tasks and self._free:
            task_id, name = self._tasks.popleft(), self._free.popleft()
            self._attempts[task_id] += 1
            effects.append(Dispatch(SchedulingDecision(task_id, "", name, self._attempts[task_id], "pull"), "", ""))
        return effects

    def _joined(self, event: WorkerJoined) -> None:
        self._gone(event.worker)  # a new process begins with all of its slots
        self._slots[event.worker] = event.slots
        self._free.extend([event.worker] * event.slots)

    def _gone(self, name: str) -> None:
        if self._slots.pop(name, None) is not None:
            self._free = deque(each for each in self._free if each != name)
