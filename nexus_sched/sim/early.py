"""Early binding: every task goes to a worker's own queue the moment it arrives, as most task queues do today.

Who is chosen is the matter of a policy that sees what the scheduler knows: how many tasks it has sent to each worker
and not heard the end of. A task that comes back from a worker is bound again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from msgspec import Struct

from nexus_sched.fallback.candidate import Candidate, FallbackPolicy
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

UNLIMITED = 2**31  # no bound on what a worker may hold


class BoundWorker(Struct, eq=False):
    """What the scheduler knows of a worker; a `Candidate`."""

    name: str
    slots: int
    credit: int = UNLIMITED
    accepting: bool = True
    in_flight: int = 0


class PowerOfTwo:
    """The less loaded of two workers drawn at random (Mitzenmacher, 2001)."""

    name = "p2c"

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}:p2c")

    def choose(self, ring: Sequence[Candidate]) -> int:
        """Index of the worker to use, -1 if none is open; after a few draws in vain the first open one."""
        if not ring:
            return -1
        drawn = [self._random.randrange(len(ring)) for _ in range(2)]
        open_ones = [index for index in drawn if ring[index].accepting]
        if not open_ones:
            open_ones = [index for index, worker in enumerate(ring) if worker.accepting][:1]
        return min(open_ones, key=lambda index: ring[index].in_flight / ring[index].slots, default=-1)


class EarlyBinding:
    """A core without prediction, queue or memory: it counts, and binds at arrival."""

    ready = False
    next_due_ms: int | None = None

    def __init__(self, policy: FallbackPolicy) -> None:
        self._policy = policy
        self._ring: list[BoundWorker] = []
        self._by_name: dict[str, BoundWorker] = {}
        self._attempts: dict[str, int] = {}  # of tasks that have not finished
        self._waiting: deque[str] = deque()  # while no worker is open

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:  # noqa: ARG002 - a core's
        """Take in what has happened, and bind what can be bound."""
        for event in events:
            if isinstance(event, TaskSubmitted):
                self._attempts[event.task.id] = 0
                self._waiting.append(event.task.id)
            elif isinstance(event, TaskFinished):
                self._released(event.worker)
                self._attempts.pop(event.task_id, None)
            elif isinstance(event, TaskReclaimed):
                self._released(event.worker)
                self._waiting.append(event.task_id)
            elif isinstance(event, WorkerJoined):
                self._joined(event)
            elif isinstance(event, WorkerSuspected):
                self._by_name[event.worker].accepting = False
            elif isinstance(event, WorkerLeft):
                self._ring.remove(self._by_name.pop(event.worker))
        return self._bind()

    def _bind(self) -> list[AnyEffect]:
        effects: list[AnyEffect] = []
        while self._waiting:
            index = self._policy.choose(self._ring)
            if index < 0:
                break
            worker = self._ring[index]
            worker.in_flight += 1
            task_id = self._waiting.popleft()
            self._attempts[task_id] += 1
            decision = SchedulingDecision(task_id, "", worker.name, self._attempts[task_id], self._policy.name)
            effects.append(Dispatch(decision, "", ""))
        return effects

    def _joined(self, event: WorkerJoined) -> None:
        worker = self._by_name.get(event.worker)
        if worker is None:
            worker = self._by_name[event.worker] = BoundWorker(event.worker, event.slots)
            self._ring.append(worker)
        worker.accepting = True

    def _released(self, name: str) -> None:
        worker = self._by_name.get(name)
        if worker is not None:
            worker.in_flight -= 1
