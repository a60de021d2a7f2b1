"""Workers of a pool of several shards that come by way of several gateways: they are found where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryPoolStore, MemoryReporterStore
from nexus_sched.errors import Fenced, StoreUnreachable
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.runtime.pool_ports import PoolShards
from nexus_sched.runtime.ports import ReporterStore
from nexus_sched.sharding.reporter import PoolReporterStore
from nexus_sched.sharding.worker import PoolWorkerStore
from nexus_sched.testing.stores import MemoryFactory

SHARDS = 3
OFFER = msgspec.msgpack.encode(WorkerOffer(slots=1))


class Lost(MemoryReporterStore):
    """A shard that cannot be reached."""

    async def report(self, workers: Sequence[tuple[str, int]], pack: bytes) -> list[bool]:
        raise StoreUnreachable("gone")


class Scene:
    """A pool in memory, and the stores that a gateway has of it."""

    def __init__(self) -> None:
        self.behind = MemoryFactory()
        self.pool = self.behind.pool()
        self.lost: set[int] = set()

    def gateway(self) -> tuple[PoolWorkerStore, PoolReporterStore]:
        workers = PoolWorkerStore(self.pool, self.behind.worker, _was_led, wanted=SHARDS, shared=True)
        return workers, PoolReporterStore(self.pool, self._reporter)

    def _reporter(self, number: int) -> ReporterStore:
        store = self.behind.reporter(number)
        return Lost(store.shard) if number in self.lost else store


class Hasty(MemoryPoolStore):
    """A connection that, once closed, fails whoever still waits for an answer; as one to a server does."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1

    async def shards(self) -> PoolShards:
        before = self.closed
        answer = await super().shards()
        if self.closed != before:
            raise StoreUnreachable("closed by this side")
        return answer


async def _was_led() -> bool:
    return True


async def moved(scene: Scene, worker: str) -> tuple[int, int]:
    """By way of another gateway a worker leaves, and comes back to another shard; gives its incarnation, and where."""
    other, _ = scene.gateway()
    incarnation = await other.register(worker, OFFER)
    await other.leave(worker, incarnation)
    former = next(number for number in range(SHARDS) if worker in scene.behind.whole.shard(number).workers)
    await scene.pool.place("many", 1_000, [former])
    return await other.register(worker, OFFER), await other.shard_of(worker)


async def test_worker_that_was_moved_by_way_of_another_gateway_is_followed():
    scene = Scene()
    workers, reporter = scene.gateway()
    first = await workers.register("w", OFFER)
    before = await workers.shard_of("w")
    assert list(await reporter.report([("w", first)], b"")) == [True]
    incarnation, after = await moved(scene, "w")
    assert after != before
    assert list(await reporter.report([("w", incarnation)], b"")) == [True]
    await workers.step("w", incarnation, b"", [], [])
    assert await workers.shard_of("w") == after


async def test_worker_that_is_fenced_registers_where_the_pool_knows_it_to_be():
    scene = Scene()
    workers, reporter = scene.gateway()
    await workers.register("w", OFFER)
    incarnation, after = await moved(scene, "w")
    assert list(await reporter.report([("w", incarnation + 7), ("nobody", 1)], b"")) == [False, False]
    with pytest.raises(Fenced):
        await workers.step("w", incarnation + 7, b"", [], [])
    await workers.register("w", OFFER)
    assert await workers.shard_of("w") == after


async def test_shard_that_cannot_be_reached_is_nothing_to_the_workers_of_the_others():
    scene = Scene()
    scene.lost.add(1)
    workers, reporter = scene.gateway()
    names = [f"w{number}" for number in range(6)]
    said = [(name, await workers.register(name, OFFER)) for name in names]
    answers = await reporter.report(said, b"")
    for name, answer in zip(names, answers, strict=True):
        unreachable = await workers.shard_of(name) == 1
        assert isinstance(answer, StoreUnreachable) if unreachable else answer is True
    assert await reporter.report([], b"") == []  # something behind it answers
    scene.lost.update(range(SHARDS))
    _, none = scene.gateway()
    for workers_said in (said, []):
        with pytest.raises(StoreUnreachable):
            await none.report(workers_said, b"")


async def test_many_who_ask_at_once_how_many_shards_there_are_all_get_an_answer():
    scene = Scene()
    await scene.pool.settle(1)
    workers = PoolWorkerStore(Hasty(scene.behind.whole), scene.behind.worker, _was_led, shared=True)
    reporter = PoolReporterStore(Hasty(scene.behind.whole), scene.behind.reporter)
    names = [f"w{number}" for number in range(20)]
    assert await asyncio.gather(*(workers.register(name, OFFER) for name in names)) == [1] * 20
    assert await asyncio.gather(*(reporter.report([(name, 1)], b"") for name in names)) == [[True]] * 20
