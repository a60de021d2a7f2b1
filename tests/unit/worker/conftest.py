"""A shard in memory for each test, and a store of a worker that can be made to fail."""

from __future__ import annotations

import pytest

from tests.unit.worker.bench import Desk, FaultyStore


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def store(desk: Desk) -> FaultyStore:
    return FaultyStore(desk.shard)
