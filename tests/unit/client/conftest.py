"""A shard in memory for each test, with a submitter's store and a worker's hand."""

from __future__ import annotations

import pytest

from nexus_sched.adapters.memory import MemoryShard
from tests.unit.client.bench import FaultySubmitterStore, Hand


@pytest.fixture
def shard() -> MemoryShard:
    return MemoryShard()


@pytest.fixture
def store(shard: MemoryShard) -> FaultySubmitterStore:
    return FaultySubmitterStore(shard)


@pytest.fixture
def hand(shard: MemoryShard) -> Hand:
    return Hand(shard)
