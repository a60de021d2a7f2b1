"""Factories of stores for the conformance suite, and for any test that wants a shard of its own."""

from __future__ import annotations

from nexus_sched.adapters.memory import (
    MemoryLeaderStore,
    MemoryReporterStore,
    MemoryShard,
    MemorySubmitterStore,
    MemoryWorkerStore,
)
from nexus_sched.adapters.redis import RedisLeaderStore, RedisReporterStore, RedisSubmitterStore, RedisWorkerStore


class MemoryFactory:
    """Stores on one shard in memory."""

    def __init__(self) -> None:
        self.shard = MemoryShard()

    def leader(self) -> MemoryLeaderStore:
        """A leader's store."""
        return MemoryLeaderStore(self.shard)

    def worker(self) -> MemoryWorkerStore:
        """A worker's store."""
        return MemoryWorkerStore(self.shard)

    def reporter(self) -> MemoryReporterStore:
        """The store of whoever reports for many workers."""
        return MemoryReporterStore(self.shard)

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> MemorySubmitterStore:
        """A submitter's store with these bounds."""
        return MemorySubmitterStore(self.shard, length_max=length_max, bytes_max=bytes_max)


class RedisFactory:
    """Stores on one shard of a real server."""

    def __init__(self, url: str, pool: str) -> None:
        self.url = url
        self.pool = pool

    def leader(self) -> RedisLeaderStore:
        """A leader's store."""
        return RedisLeaderStore(self.url, self.pool, 0)

    def worker(self) -> RedisWorkerStore:
        """A worker's store."""
        return RedisWorkerStore(self.url, self.pool, 0)

    def reporter(self) -> RedisReporterStore:
        """The store of whoever reports for many workers."""
        return RedisReporterStore(self.url, self.pool, 0)

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> RedisSubmitterStore:
        """A submitter's store with these bounds."""
        return RedisSubmitterStore(self.url, self.pool, 0, length_max=length_max, bytes_max=bytes_max)
