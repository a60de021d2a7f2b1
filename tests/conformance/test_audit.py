"""The audit trail on every store: a record stands behind the one that its writer saw, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nexus_sched.adapters.memory import MemoryAuditStore
from nexus_sched.adapters.redis import RedisAuditStore
from nexus_sched.runtime.ports import AuditHead, AuditLine, AuditStore
from nexus_sched.testing.servers import TestServer


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, server: TestServer, pool: str) -> AsyncIterator[AuditStore]:
    opened: AuditStore = MemoryAuditStore() if request.param == "memory" else RedisAuditStore(server.url, pool)
    await opened.open()
    yield opened
    await opened.close()


def line(number: int) -> AuditLine:
    return AuditLine(number, b"record %d \x00\xff" % number, f"digest-{number}", "" if number % 2 else "signed")


async def test_trail_begins_empty(store: AuditStore):
    assert await store.head() == AuditHead(0, "")
    assert await store.records(0, 10) == []


async def test_records_come_back_as_they_were_written(store: AuditStore):
    former = await store.head()
    for number in range(1, 6):
        former = await store.append(former, line(number), 100)
    assert former == await store.head() == AuditHead(5, "digest-5")
    assert await store.records(0, 100) == [line(number) for number in range(1, 6)]
    assert await store.records(2, 2) == [line(3), line(4)]


async def test_record_behind_another_than_the_newest_is_not_written(store: AuditStore):
    first = await store.append(AuditHead(0, ""), line(1), 100)
    for former, late in ((AuditHead(0, ""), line(1)), (AuditHead(1, "other"), line(2)), (first, line(3))):
        assert await store.append(former, late, 100) == first
    assert await store.records(0, 10) == [line(1)]


async def test_only_the_newest_records_are_kept(store: AuditStore):
    former = await store.head()
    for number in range(1, 11):
        former = await store.append(former, line(number), 4)
    assert [each.number for each in await store.records(0, 100)] == [7, 8, 9, 10]
