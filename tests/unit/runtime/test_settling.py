"""How many shards a pool has, said once; and who is struck off a shard's list of workers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryPool, MemoryPoolStore
from nexus_sched.errors import ShardsDiffer
from nexus_sched.model.replica import ShardId
from nexus_sched.runtime.pool_ports import Placement
from nexus_sched.runtime.settling import LOOK_EVERY_S, settle_shards, tidy_places
from nexus_sched.testing.virtual_time import virtually


async def settled(pool: MemoryPool, wanted: int | None) -> int:
    return await settle_shards(MemoryPoolStore(pool), MemoryLeaderStore(pool.shard(0)), "p", wanted)


def tidied(pool: MemoryPool, number: int) -> asyncio.Task[None]:
    store = MemoryLeaderStore(pool.shard(number))
    return asyncio.ensure_future(tidy_places(MemoryPoolStore(pool), store, ShardId("p", number), 3))


async def end(tidying: asyncio.Task[None]) -> None:
    tidying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await tidying


def test_shards_are_settled_by_the_first_who_serves():
    async def story():
        assert await settled(MemoryPool(), None) == 1
        pool = MemoryPool()
        assert await settled(pool, 3) == 3
        assert await settled(pool, None) == 3
        assert await settled(pool, 3) == 3
        with pytest.raises(ShardsDiffer, match="'p' has 3 shards, and the configuration splits it into 2"):
            await settled(pool, 2)
        assert pool.count == 3

    virtually(story())


def test_pool_that_was_led_before_there_were_several_shards_has_one():
    async def story():
        pool = MemoryPool()
        pool.shard(0).acquire("somebody", "nonce", None)
        with pytest.raises(ShardsDiffer, match="has 1 shard, and the configuration splits it into 3"):
            await settled(pool, 3)
        assert await settled(pool, None) == 1

    virtually(story())


def test_pool_that_was_submitted_to_before_it_was_served_can_still_be_split():
    async def story():
        pool = MemoryPool()
        await MemoryPoolStore(pool).settle(None)
        assert await settled(pool, 3) == 3
        assert pool.early

    virtually(story())


def test_shard_without_workers_sends_for_one_of_the_fullest_and_for_another_if_it_does_not_come():
    async def story():
        pool = MemoryPool()
        pool.workers = {
            "alone": Placement(0, 9),
            "b": Placement(1, 1),
            "a": Placement(1, 2),
            "dead": Placement(2, 1),
        }
        shard = pool.shard(2)
        tidying = tidied(pool, 2)
        await asyncio.sleep(1.5 * LOOK_EVERY_S)
        assert pool.workers["dead"] == Placement(2, 1)
        await asyncio.sleep(LOOK_EVERY_S)
        assert pool.workers == {"alone": Placement(0, 9), "b": Placement(1, 1), "a": Placement(2, 2)}
        pool.workers["c"] = Placement(1, 3)
        await asyncio.sleep(2 * LOOK_EVERY_S)  # it has not come, and is struck off
        assert pool.workers == {"alone": Placement(0, 9), "b": Placement(1, 1), "c": Placement(2, 3)}
        pool.workers["a"] = Placement(1, 2)  # it is where it was
        shard.register("c", b"")
        await asyncio.sleep(5 * LOOK_EVERY_S)
        assert [worker for worker, at in pool.workers.items() if at.shard == 2] == ["c"]
        await end(tidying)

    virtually(story())


def test_shard_without_workers_takes_none_that_is_alone_in_another():
    async def story():
        pool = MemoryPool()
        pool.workers = {"alone": Placement(0, 9)}
        tidying = tidied(pool, 1)
        await asyncio.sleep(5 * LOOK_EVERY_S)
        assert pool.workers == {"alone": Placement(0, 9)}
        await end(tidying)

    virtually(story())


def test_places_of_workers_that_are_gone_are_given_up_at_the_second_look():
    async def story():
        pool = MemoryPool()
        pool.workers = {
            "live": Placement(1, 2),
            "gone": Placement(1, 2),
            "late": Placement(1, 2),
            "elsewhere": Placement(0, 2),
        }
        shard = pool.shard(1)
        shard.register("live", b"")
        tidying = tidied(pool, 1)
        await asyncio.sleep(1.5 * LOOK_EVERY_S)
        assert len(pool.workers) == 4
        shard.register("late", b"")
        await asyncio.sleep(LOOK_EVERY_S)
        assert set(pool.workers) == {"live", "late", "elsewhere"}
        await end(tidying)

    virtually(story())


def test_number_of_shards_that_the_store_forgot_is_said_again():
    async def story():
        pool = MemoryPool()
        tidying = tidied(pool, 0)
        await asyncio.sleep(0.1)
        assert pool.count == 3
        pool.count = 0
        await asyncio.sleep(LOOK_EVERY_S)
        assert pool.count == 3
        pool.count = 2
        await asyncio.sleep(LOOK_EVERY_S)
        with pytest.raises(ShardsDiffer, match="'p' has 2 shards, and the configuration splits it into 3"):
            await tidying

    virtually(story())
