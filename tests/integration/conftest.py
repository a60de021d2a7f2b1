"""Servers of both kinds, a fresh pool for each test, and processes that end with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nexus_sched.testing.plugin import pool, server
from nexus_sched.testing.servers import TestServer
from tests.integration.programs import Programs
from tests.integration.shard import Shard

__all__ = ["pool", "server"]


@pytest.fixture
def programs(server: TestServer, pool: str, tmp_path: Path) -> Iterator[Programs]:
    started = Programs(server.url, pool, tmp_path)
    yield started
    started.close()


@pytest.fixture
async def shard(server: TestServer, pool: str) -> AsyncIterator[Shard]:
    opened = Shard(server.url, pool)
    await opened.open()
    yield opened
    await opened.close()
