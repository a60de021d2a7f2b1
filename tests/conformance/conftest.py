"""Servers, pools, and the three implementations of the store ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard, MemorySubmitterStore, MemoryWorkerStore
from nexus_sched.adapters.redis import RedisLeaderStore, RedisSubmitterStore, RedisWorkerStore
from nexus_sched.testing.conformance import StoreFactory
from nexus_sched.testing.plugin import pool, server
from nexus_sched.testing.servers import KINDS, ServerMissing, TestServer

__all__ = ["pool", "server"]


class MemoryFactory:
    def __init__(self) -> None:
        self.shard = MemoryShard()

    def leader(self) -> MemoryLeaderStore:
        return MemoryLeaderStore(self.shard)

    def worker(self) -> MemoryWorkerStore:
        return MemoryWorkerStore(self.shard)

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> MemorySubmitterStore:
        return MemorySubmitterStore(self.shard, length_max=length_max, bytes_max=bytes_max)


class RedisFactory:
    def __init__(self, url: str, pool: str) -> None:
        self.url = url
        self.pool = pool

    def leader(self) -> RedisLeaderStore:
        return RedisLeaderStore(self.url, self.pool, 0)

    def worker(self) -> RedisWorkerStore:
        return RedisWorkerStore(self.url, self.pool, 0)

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> RedisSubmitterStore:
        return RedisSubmitterStore(self.url, self.pool, 0, length_max=length_max, bytes_max=bytes_max)


@pytest.fixture(scope="session", params=["memory", *KINDS])
def store_server(request: pytest.FixtureRequest) -> Iterator[TestServer | None]:
    """`None` for the implementation in memory."""
    if request.param == "memory":
        yield None
        return
    try:
        running = TestServer(request.param)
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with running:
        yield running


@pytest.fixture
def factory(store_server: TestServer | None, pool: str) -> StoreFactory:
    return MemoryFactory() if store_server is None else RedisFactory(store_server.url, pool)
