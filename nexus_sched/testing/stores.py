"""Factories of stores for the conformance suite, and for any test that wants a shard of its own."""

from __future__ import annotations

from nexus_sched.adapters.memory import (
    MemoryLeaderStore,
    MemoryPool,
    MemoryPoolStore,
    MemoryRegistryStore,
    MemoryReporterStore,
    MemorySubmitterStore,
    MemoryWorkerStore,
)
from nexus_sched.adapters.redis import (
    RedisLeaderStore,
    RedisPoolStore,
    RedisRegistryStore,
    RedisReporterStore,
    RedisSubmitterStore,
    RedisWorkerStore,
)
from nexus_sched.runtime.ports import ReporterStore, SubmitterStore, WorkerStore
from nexus_sched.sharding.reporter import PoolReporterStore
from nexus_sched.sharding.submitter import PoolSubmitterStore
from nexus_sched.sharding.worker import PoolWorkerStore


class MemoryFactory:
    """Stores on a pool in memory; on its first shard, where none is named."""

    def __init__(self) -> None:
        self.whole = MemoryPool()
        self.shard = self.whole.shard(0)
        self.said: dict[str, bytes] = {}

    def leader(self, shard: int = 0) -> MemoryLeaderStore:
        """A leader's store."""
        return MemoryLeaderStore(self.whole.shard(shard))

    def worker(self, shard: int = 0) -> MemoryWorkerStore:
        """A worker's store."""
        return MemoryWorkerStore(self.whole.shard(shard))

    def reporter(self, shard: int = 0) -> MemoryReporterStore:
        """The store of whoever reports for many workers."""
        return MemoryReporterStore(self.whole.shard(shard))

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30, shard: int = 0) -> MemorySubmitterStore:
        """A submitter's store with these bounds."""
        return MemorySubmitterStore(self.whole.shard(shard), length_max=length_max, bytes_max=bytes_max)

    def pool(self) -> MemoryPoolStore:
        """The store of what is known of the pool."""
        return MemoryPoolStore(self.whole)

    def registry(self) -> MemoryRegistryStore:
        """The registry of replicas."""
        return MemoryRegistryStore(self.said)


class RedisFactory:
    """Stores on a pool of a real server; on its first shard, where none is named."""

    def __init__(self, url: str, pool: str) -> None:
        self.url = url
        self.name = pool

    def leader(self, shard: int = 0) -> RedisLeaderStore:
        """A leader's store."""
        return RedisLeaderStore(self.url, self.name, shard)

    def worker(self, shard: int = 0) -> RedisWorkerStore:
        """A worker's store."""
        return RedisWorkerStore(self.url, self.name, shard)

    def reporter(self, shard: int = 0) -> RedisReporterStore:
        """The store of whoever reports for many workers."""
        return RedisReporterStore(self.url, self.name, shard)

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30, shard: int = 0) -> RedisSubmitterStore:
        """A submitter's store with these bounds."""
        return RedisSubmitterStore(self.url, self.name, shard, length_max=length_max, bytes_max=bytes_max)

    def pool(self) -> RedisPoolStore:
        """The store of what is known of the pool."""
        return RedisPoolStore(self.url, self.name)

    def registry(self) -> RedisRegistryStore:
        """The registry of replicas."""
        return RedisRegistryStore(self.url)


class PooledFactory:
    """Another factory's stores behind those of a whole pool: of one shard, they must do the same."""

    def __init__(self, inner: MemoryFactory | RedisFactory) -> None:
        self._inner = inner
        self.leader = inner.leader
        self.pool = inner.pool
        self.registry = inner.registry

    def worker(self) -> PoolWorkerStore:
        """A store of the workers of the whole pool."""

        async def was_led() -> bool:
            return True

        def of_shard(shard: int) -> WorkerStore:
            return self._inner.worker(shard)

        return PoolWorkerStore(self._inner.pool(), of_shard, was_led)

    def reporter(self) -> PoolReporterStore:
        """The store of whoever reports for many workers of the whole pool."""

        def of_shard(shard: int) -> ReporterStore:
            return self._inner.reporter(shard)

        return PoolReporterStore(self._inner.pool(), of_shard)

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> SubmitterStore:
        """A submitter's store over the whole pool."""

        def of_shard(shard: int, _: int) -> SubmitterStore:
            return self._inner.submitter(length_max=length_max, bytes_max=bytes_max, shard=shard)

        return PoolSubmitterStore(self._inner.pool(), of_shard, 1)
