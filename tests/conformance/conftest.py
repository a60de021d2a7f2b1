"""Servers, pools, and the three implementations of the store ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nexus_sched.testing.conformance import StoreFactory
from nexus_sched.testing.plugin import pool, server
from nexus_sched.testing.servers import KINDS, ServerMissing, TestServer
from nexus_sched.testing.stores import MemoryFactory, RedisFactory

__all__ = ["pool", "server"]


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
