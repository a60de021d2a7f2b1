"""Processes that share shards, in virtual time: all led, evenly, moved without a loss, whatever comes or goes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryPool, MemoryRegistryStore
from nexus_sched.errors import StateLost, StoreUnreachable
from nexus_sched.model.replica import ShardId
from nexus_sched.model.settings import EngineSettings
from nexus_sched.runtime.replica import Replica, Seat
from nexus_sched.runtime.service import Service, ServiceSettings
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.virtual_time import LoopClock, virtually
from tests.unit.runtime.stage import end, now_s, until

SHARDS = 3


class Silent(MemoryRegistryStore):
    """A registry that never answers."""

    async def announce(self, replica: str, blob: bytes) -> dict[str, bytes]:
        raise StoreUnreachable("nobody there")


class Fleet:
    """Replicas of one pool."""

    def __init__(self, shards: int = SHARDS) -> None:
        self.pool = MemoryPool(LoopClock().wall_ms)
        self.said: dict[str, bytes] = {}
        self.shards = shards
        self.running: dict[str, tuple[Replica, asyncio.Task[None]]] = {}
        self.seats = 0

    def start(self, name: str, registry: MemoryRegistryStore | None = None) -> Replica:
        def seat(shard: ShardId, settings: EngineSettings) -> Seat:
            self.seats += 1
            store = MemoryLeaderStore(self.pool.shard(shard.number))
            of_shard = ServiceSettings(pool=shard.pool, shard=shard.number, owner=name)
            return Seat(Service(store, of_shard, settings, PREDICTORS, clock=LoopClock()), [store])

        serves = {"p": self.shards}
        replica = Replica(
            registry or MemoryRegistryStore(self.said), name, serves, seat, EngineSettings(), clock=LoopClock()
        )
        self.running[name] = (replica, asyncio.ensure_future(replica.run()))
        return replica

    async def stop(self, name: str) -> None:
        replica, running = self.running.pop(name)
        replica.stop()
        await running

    async def kill(self, name: str) -> None:
        await end(self.running.pop(name)[1])

    def flush(self, number: int) -> None:
        """What a shard holds is gone."""
        shard = self.pool.shard(number)
        shard.seq, shard.owner, shard.epoch, shard.kept = None, "", 0, (None, None)
        shard.streams.clear()
        shard.snapshots.clear()

    def leaders(self) -> list[str]:
        """Who leads each shard now; empty where nobody does."""
        led: dict[int, list[str]] = {number: [] for number in range(self.shards)}
        for name, (replica, _) in self.running.items():
            for shard in replica.leads:
                led[shard.number].append(name)
        return ["+".join(names) for names in led.values()]

    def is_even(self) -> bool:
        """Whether all shards are led, as evenly as can be, and stood by for."""
        leads = Counter(self.leaders())
        counts = [leads[name] for name in self.running]
        standing = sum(len(replica.stands_by) for replica, _ in self.running.values())
        wanted = self.shards if len(self.running) > 1 else 0
        return sum(counts) == self.shards and max(counts) - min(counts) <= 1 and standing == wanted

    @property
    def epochs(self) -> int:
        """How often a lease was taken, in all."""
        return sum(self.pool.shard(number).epoch for number in range(self.shards))


@asynccontextmanager
async def fleet(*names: str, shards: int = SHARDS) -> AsyncIterator[Fleet]:
    made = Fleet(shards)
    try:
        for name in names:
            made.start(name)
        yield made
    finally:
        for _, running in made.running.values():
            await end(running)


def test_replica_alone_leads_everything_at_once():
    async def story():
        async with fleet("a") as stage:
            await until(lambda: stage.leaders() == ["a", "a", "a"], 0.3)
            await asyncio.sleep(60)
            assert stage.epochs == SHARDS
            assert stage.seats == SHARDS

    virtually(story())


def test_replicas_share_the_shards_and_stay_so():
    async def story():
        async with fleet("a", "b", "c") as stage:
            await until(stage.is_even, 15)
            epochs = stage.epochs
            await asyncio.sleep(300)
            assert stage.is_even()
            assert stage.epochs == epochs

    virtually(story())


def test_replica_that_joins_is_given_its_share_by_hand_over():
    async def story():
        async with fleet("a") as stage:
            await until(lambda: stage.leaders() == ["a", "a", "a"])
            stage.start("b")
            await until(stage.is_even, 10)
            stage.start("c")
            await until(stage.is_even, 12)
            assert stage.epochs == SHARDS + 2  # each join moves one shard, once
            for number in range(SHARDS):
                assert stage.pool.shard(number).seq is not None

    virtually(story())


@pytest.mark.parametrize("joining", ["b", "c", "d", "e", "f", "g"])
def test_replica_keeps_the_only_shard_when_another_joins_to_stand_by(joining: str):
    async def story():
        async with fleet("a", shards=1) as stage:
            await until(lambda: stage.leaders() == ["a"])
            stage.start(joining)
            await until(stage.is_even, 5)
            await asyncio.sleep(60)
            assert stage.leaders() == ["a"]
            assert stage.epochs == 1
            await stage.kill("a")
            await until(lambda: stage.leaders() == [joining], 2)
            stage.start("a")
            await asyncio.sleep(60)
            assert stage.leaders() == [joining]  # who led before has no claim to it
            assert stage.epochs == 2
            assert stage.is_even()

    virtually(story())


@pytest.mark.parametrize("seed", range(3))
def test_replicas_that_come_and_go_at_random_come_to_rest_evenly(seed: int):
    generator = random.Random(seed)

    async def story():
        async with fleet("r0", shards=generator.randint(1, 6)) as stage:
            for number in range(1, 12):
                await asyncio.sleep(generator.choice((0.1, 1.0, 4.0, 10.0)))
                running = list(stage.running)
                deed = generator.choice((stage.start, stage.start, stage.stop, stage.kill))
                if deed == stage.start or len(running) == 1:
                    stage.start(f"r{number}")
                else:
                    await deed(generator.choice(running))
            await until(stage.is_even, 120)
            epochs = stage.epochs
            await asyncio.sleep(60)
            assert stage.is_even(), f"seed {seed}"
            assert stage.epochs == epochs, f"seed {seed}"

    virtually(story())


def test_replica_hands_over_one_shard_at_a_time():
    async def story():
        async with fleet("a", shards=8) as stage:
            await until(lambda: stage.leaders() == ["a"] * 8)
            stage.start("b")
            changes = []
            led = stage.leaders()
            while not stage.is_even():
                await asyncio.sleep(0.01)
                now = stage.leaders()
                if now != led:
                    changes.append(sum(left != right for left, right in zip(now, led, strict=True)))
                    led = now
            assert set(changes) == {1}
            assert now_s() < 15

    virtually(story())


def test_replica_that_dies_is_replaced_by_the_lease_and_its_shards_are_spread_again():
    async def story():
        async with fleet("a", "b", "c") as stage:
            await until(stage.is_even)
            await stage.kill("b")
            died_at_s = now_s()
            await until(lambda: all(stage.leaders()))
            assert now_s() - died_at_s < 2.0
            await until(stage.is_even, 15)

    virtually(story())


def test_leader_and_standby_that_die_together_are_replaced_by_whoever_is_left():
    async def story():
        async with fleet("a", "b", "c") as stage:
            await until(stage.is_even)
            await stage.kill("a")
            await stage.kill("b")
            died_at_s = now_s()
            await until(lambda: stage.leaders() == ["c"] * 3)
            assert now_s() - died_at_s < 5.0

    virtually(story())


def test_replica_that_stops_hands_everything_over_at_once():
    async def story():
        async with fleet("a", "b", "c") as stage:
            await until(stage.is_even)
            await stage.stop("c")
            stopped_at_s = now_s()
            assert "c" not in stage.said
            await until(lambda: all(stage.leaders()))
            assert now_s() - stopped_at_s < 0.5

    virtually(story())


def test_replica_that_comes_and_goes_does_not_make_shards_move_each_time():
    async def story():
        async with fleet("a", "b") as stage:
            await until(stage.is_even)
            before = stage.epochs
            for number in range(10):
                name = f"restless-{number}"
                stage.start(name)
                await asyncio.sleep(4)
                if stage.running[name][0].leads:
                    await stage.stop(name)
                else:
                    await stage.kill(name)
                await asyncio.sleep(2)
            moved = stage.epochs - before
            assert moved <= 8, moved  # every visit would move one there and one back
            await until(lambda: all(stage.leaders()))

    virtually(story())


def test_replicas_without_a_registry_lead_all_the_same():
    async def story():
        async with fleet() as stage:
            for name in ("a", "b"):
                stage.start(name, Silent({}))
            await until(lambda: all(stage.leaders()), 3)
            first = stage.leaders()[0]
            await stage.kill(first)
            await until(lambda: all(stage.leaders()), 3)

    virtually(story())


def test_replicas_each_shard_has_one_leader_at_a_time_whatever_happens():
    async def story():
        async with fleet("a", "b", "c", shards=5) as stage:

            async def look() -> None:
                while True:
                    assert all("+" not in names for names in stage.leaders()), stage.leaders()
                    await asyncio.sleep(0.01)

            looking = asyncio.ensure_future(look())
            for number in range(6):
                await asyncio.sleep(5)
                stage.start(f"d{number}")
                await asyncio.sleep(5)
                await (stage.stop if number % 2 else stage.kill)(list(stage.running)[number % 3])
            await until(stage.is_even, 100)
            assert not looking.done()

    virtually(story())


def test_replica_whose_shard_lost_its_state_says_so():
    async def story():
        async with fleet("a") as stage:
            await until(lambda: all(stage.leaders()))
            stage.flush(1)
            with pytest.raises(StateLost):
                await asyncio.wait_for(stage.running["a"][1], 10)
            del stage.running["a"]

    virtually(story())


def test_replica_whose_shard_lost_its_state_while_it_had_no_part_in_it_says_so():
    """It led, handed over, and left the shard to the other one for a while: it must not begin anew on nothing."""

    async def story():
        async with fleet("a") as stage:
            await until(lambda: stage.leaders() == ["a", "a", "a"])
            stage.start("b")
            await until(lambda: "b" in stage.leaders(), 10)
            stage.flush(stage.leaders().index("b"))
            for name in ("b", "a"):
                with pytest.raises(StateLost):
                    await asyncio.wait_for(stage.running[name][1], 10)
                del stage.running[name]

    virtually(story())
