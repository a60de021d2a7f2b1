"""Workers that move to a shard that has sent for them, on the stores of a pool in memory."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryPool, MemoryPoolStore, MemoryWorkerStore
from nexus_sched.errors import Fenced, StoreUnreachable
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.runtime.pool_ports import Placement
from nexus_sched.runtime.ports import WorkerStore
from nexus_sched.sharding.moves import LOOK_EVERY_S
from nexus_sched.sharding.worker import PoolWorkerStore
from nexus_sched.testing.virtual_time import virtually

OFFER = msgspec.msgpack.encode(WorkerOffer(slots=2))
BEAT_S = 1.0


async def always() -> bool:
    return True


def store_of(pool: MemoryPool, places: MemoryPoolStore | None = None) -> PoolWorkerStore:
    def of_shard(number: int) -> WorkerStore:
        return MemoryWorkerStore(pool.shard(number))

    return PoolWorkerStore(places or MemoryPoolStore(pool), of_shard, always, wanted=2)


async def beat(store: PoolWorkerStore, worker: str, incarnation: int, for_s: float) -> None:
    for _ in range(round(for_s / BEAT_S)):
        await asyncio.sleep(BEAT_S)
        await store.step(worker, incarnation, b"", [], [])


async def placed_in(pool: MemoryPool, worker: str, shard: int) -> tuple[PoolWorkerStore, int]:
    store = store_of(pool)
    pool.workers["other"] = Placement(1 - shard, 9)
    incarnation = await store.register(worker, OFFER)
    assert pool.workers[worker] == Placement(shard, 2)
    return store, incarnation


def test_worker_that_is_sent_for_moves_and_takes_nothing_with_it():
    async def story():
        pool = MemoryPool()
        store, incarnation = await placed_in(pool, "w", 0)
        pool.workers["w"] = Placement(1, 2)
        with pytest.raises(Fenced, match="moves to shard 1"):
            await beat(store, "w", incarnation, 2 * LOOK_EVERY_S)
        assert pool.shard(0).workers["w"].standing == "LEFT"
        assert await store.register("w", OFFER) == 1
        assert set(pool.shard(1).beats) == {"w"}
        assert not pool.shard(0).beats
        assert pool.workers["w"] == Placement(1, 2)
        await beat(store, "w", 1, 3 * LOOK_EVERY_S)
        await store.close()

    virtually(story())


def test_worker_with_something_in_its_inbox_stays_until_it_is_done():
    async def story():
        pool = MemoryPool()
        store, incarnation = await placed_in(pool, "w", 0)
        inbox = pool.shard(0).streams["i:w"]
        inbox.insert((1, 0), [b"i", b"t", b"a", b"1"])
        pool.workers["w"] = Placement(1, 2)
        await beat(store, "w", incarnation, 3 * LOOK_EVERY_S)
        assert set(pool.shard(0).beats) == {"w"}
        inbox.remove((1, 0))
        with pytest.raises(Fenced, match="moves to shard 1"):
            await beat(store, "w", incarnation, 1)
        await store.close()

    virtually(story())


def test_worker_whose_place_is_forgotten_is_entered_again_while_it_is_at_work():
    async def story():
        pool = MemoryPool()
        store, incarnation = await placed_in(pool, "w", 0)
        pool.workers.clear()
        await asyncio.sleep(3 * LOOK_EVERY_S)
        assert not pool.workers  # it has not said anything since
        await beat(store, "w", incarnation, 2 * LOOK_EVERY_S)
        assert pool.workers == {"w": Placement(0, 2)}
        await store.close()

    virtually(story())


def test_worker_that_is_wanted_no_more_stays():
    async def story():
        pool = MemoryPool()
        store, incarnation = await placed_in(pool, "w", 0)
        inbox = pool.shard(0).streams["i:w"]
        inbox.insert((1, 0), [b"i", b"t", b"a", b"1"])
        pool.workers["w"] = Placement(1, 2)
        await beat(store, "w", incarnation, 2 * LOOK_EVERY_S)
        del pool.workers["w"]  # the shard that sent for it has waited for too long
        await beat(store, "w", incarnation, 2 * LOOK_EVERY_S)
        inbox.remove((1, 0))
        await beat(store, "w", incarnation, 2 * LOOK_EVERY_S)
        assert pool.workers["w"] == Placement(0, 2)
        await store.close()

    virtually(story())


def test_worker_is_at_work_while_nobody_knows_where_its_place_is():
    class Deaf(MemoryPoolStore):
        async def placed(self, worker: str) -> int | None:
            await asyncio.sleep(60)
            raise StoreUnreachable("nobody there")

    async def story():
        pool = MemoryPool()
        store = store_of(pool, Deaf(pool))
        incarnation = await store.register("w", OFFER)
        began_s = asyncio.get_running_loop().time()
        await beat(store, "w", incarnation, 200)
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(200)
        await store.close()

    virtually(story())
