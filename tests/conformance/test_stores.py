"""The conformance suite on every implementation of the store ports."""

from __future__ import annotations

import pytest

from nexus_sched.testing.conformance import Case, Stage, StoreFactory, all_cases
from nexus_sched.testing.stores import MemoryFactory, PooledFactory, RedisFactory


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.__name__)
async def test_store(factory: StoreFactory, case: Case) -> None:
    async with Stage(factory) as stage:
        await case(stage)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.__name__)
async def test_store_of_a_pool_of_one_shard(factory: MemoryFactory | RedisFactory, case: Case) -> None:
    async with Stage(PooledFactory(factory)) as stage:
        await case(stage)
