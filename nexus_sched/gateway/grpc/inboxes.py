"""Waits on the inboxes of many workers. A read that blocks has a connection of its own; they are used again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable

from nexus_sched.runtime.ports import InboxItem, WorkerStore

IDLE_MAX = 64  # connections of a shard that are kept for the next one that waits


class Inboxes:
    """Reads inboxes. What is there already is read over one connection for all."""

    def __init__(
        self, shared: WorkerStore, shard_of: Callable[[str], Awaitable[int]], make: Callable[[int], WorkerStore]
    ) -> None:
        self._shared = shared
        self._shard_of = shard_of
        self._make = make
        self._idle: defaultdict[int, list[WorkerStore]] = defaultdict(list)  # by shard
        self.waiting = 0

    async def read(self, worker: str, after: str, count: int, wait_ms: int) -> list[InboxItem]:
        """Entries behind `after`; waits up to `wait_ms` for the first one. Raises a `StoreError`."""
        items = await self._shared.read_inbox(worker, after, count, 0)
        if items or wait_ms <= 0:
            return items
        shard = await self._shard_of(worker)
        idle = self._idle[shard]
        store = idle.pop() if idle else self._make(shard)
        self.waiting += 1
        kept = False
        try:
            items = await store.read_inbox(worker, after, count, wait_ms)
            kept = len(idle) < IDLE_MAX
        finally:
            self.waiting -= 1
            if kept:
                idle.append(store)
            else:
                await store.close()  # it may still owe an answer
        return items

    async def close(self) -> None:
        """Let go of the connections that nobody uses."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().close()
