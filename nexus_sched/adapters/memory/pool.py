"""A pool in memory: its shards, what is known of it as a whole, and the registry of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from nexus_sched.adapters.memory.bus import Bus
from nexus_sched.adapters.memory.shard import MemoryShard, wall_clock_ms
from nexus_sched.errors import InvalidInput
from nexus_sched.runtime.pool_ports import Placement, PoolShards


class MemoryPool:
    """State of one pool. Its shards share one bus, as all shards of a server share its channels."""

    def __init__(self, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.count = 0
        self.early = False
        self.workers: dict[str, Placement] = {}
        self.bus = Bus()
        self._clock_ms = clock_ms
        self._shards: dict[int, MemoryShard] = {}

    def shard(self, number: int) -> MemoryShard:
        """A shard of the pool, made when it is asked for first."""
        if number not in self._shards:
            self._shards[number] = MemoryShard(self._clock_ms, self.bus)
        return self._shards[number]


class MemoryPoolStore:
    """`PoolStore` on a `MemoryPool`."""

    def __init__(self, pool: MemoryPool) -> None:
        self.pool = pool

    async def open(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to close."""

    async def shards(self) -> PoolShards:
        """What is settled, without leaving a trace."""
        await asyncio.sleep(0)
        return PoolShards(self.pool.count, self.pool.early)

    async def settle(self, wanted: int | None) -> PoolShards:
        """Settle the number of shards, unless it is settled already; gives what holds."""
        await asyncio.sleep(0)
        pool = self.pool
        if not pool.count:
            pool.count = wanted or 0
            pool.early = pool.early or wanted is None
        return PoolShards(pool.count, pool.early)

    async def place(self, worker: str, slots: int, order: Sequence[int], held: int | None = None) -> int:
        """Give a worker a place; gives its shard."""
        if not order:
            raise InvalidInput("a worker cannot be placed among no shards")
        await asyncio.sleep(0)
        known = self.pool.workers.get(worker)
        chosen = held
        if chosen is None and known is not None and known.shard in order:
            chosen = known.shard
        if chosen is None:
            total = dict.fromkeys(order, 0)
            for placement in self.pool.workers.values():
                if placement.shard in total:
                    total[placement.shard] += placement.slots
            chosen = min(order, key=lambda shard: total[shard])  # the first among equals
        self.pool.workers[worker] = Placement(chosen, slots)
        return chosen

    async def placed(self, worker: str) -> int | None:
        """The shard of a worker, `None` if it is not known."""
        await asyncio.sleep(0)
        known = self.pool.workers.get(worker)
        return None if known is None else known.shard

    async def placements(self) -> dict[str, Placement]:
        """All workers and their places."""
        await asyncio.sleep(0)
        return dict(self.pool.workers)

    async def displace(self, placements: Mapping[str, Placement]) -> int:
        """Forget these workers, each only if it still is where it was seen; gives how many."""
        await asyncio.sleep(0)
        gone = [worker for worker, seen in placements.items() if self.pool.workers.get(worker) == seen]
        for worker in gone:
            del self.pool.workers[worker]
        return len(gone)


class MemoryRegistryStore:
    """`RegistryStore` on a dictionary that all replicas share."""

    def __init__(self, said: dict[str, bytes]) -> None:
        self.said = said

    async def open(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to close."""

    async def announce(self, replica: str, blob: bytes) -> dict[str, bytes]:
        """Say something of oneself; gives what all say, oneself included."""
        await asyncio.sleep(0)
        self.said[replica] = blob
        return dict(self.said)

    async def announcements(self) -> dict[str, bytes]:
        """What all say, for whoever only looks."""
        await asyncio.sleep(0)
        return dict(self.said)

    async def withdraw(self, replicas: Iterable[str]) -> None:
        """Forget these replicas."""
        await asyncio.sleep(0)
        for replica in replicas:
            self.said.pop(replica, None)
