"""Several schedulers of one pool, as shards are: each has workers of its own, and tasks that nobody else sees.

Workers are dealt out in turn. A task goes where a checksum of its id says, as submitters choose a shard without asking
anybody; so the owners' loads differ by chance, as those of shards do.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import (
    AnyEvent,
    TaskFinished,
    TaskReclaimed,
    TaskSubmitted,
    WorkerJoined,
    WorkerLeft,
    WorkerSuspected,
)
from nexus_sched.sim.drive import Core
from nexus_sched.sim.workload import FleetWorker
from nexus_sched.units import NS_PER_MS

OF_WORKERS = (TaskFinished, TaskReclaimed, WorkerJoined, WorkerLeft, WorkerSuspected)


class Owners:
    """Cores side by side as one core. Each hears of its own tasks and workers only."""

    def __init__(self, cores: Sequence[Core], workers: Sequence[FleetWorker]) -> None:
        self._cores = list(cores)
        self._by_worker = {worker.name: index % len(cores) for index, worker in enumerate(workers)}

    @property
    def ready(self) -> bool:
        """Whether any owner has work left."""
        return any(core.ready for core in self._cores)

    @property
    def next_due_ms(self) -> int | None:
        """When the first of them wants a turn."""
        return min((due_ms for core in self._cores if (due_ms := core.next_due_ms) is not None), default=None)

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        """A turn for every owner that has heard something, has work left, or asked for one."""
        heard: list[list[AnyEvent]] = [[] for _ in self._cores]
        for event in events:
            heard[self._owner(event)].append(event)
        return [effect for core, facts in self._with_work(heard, at_ns) for effect in core.handle(facts, at_ns)]

    def _owner(self, event: AnyEvent) -> int:
        if isinstance(event, TaskSubmitted):
            return zlib.crc32(event.task.id.encode()) % len(self._cores)
        assert isinstance(event, OF_WORKERS), f"a fleet says nothing like {event}"
        return self._by_worker[event.worker]

    def _with_work(self, heard: list[list[AnyEvent]], at_ns: int) -> Iterator[tuple[Core, list[AnyEvent]]]:
        now_ms = at_ns // NS_PER_MS
        for core, facts in zip(self._cores, heard, strict=True):
            due_ms = core.next_due_ms
            if facts or core.ready or (due_ms is not None and due_ms <= now_ms):
                yield core, facts
