"""A standby has the leader's state at every turn, notices every difference, and bounds what it does and holds."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore
from nexus_sched.core import snapshot
from nexus_sched.errors import StoreUnreachable
from nexus_sched.model.journal import decode_turn, encode_turn
from nexus_sched.runtime import standby as subject
from nexus_sched.runtime.recovery import Recovered, recover
from nexus_sched.runtime.standby import LOOK_EVERY_S, LOOK_TURNS_MAX, Standby
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.virtual_time import LoopClock, virtually
from nexus_sched.testing.world import World

SOON_S = 5 * LOOK_EVERY_S  # a pause before a reload included


class Counting(MemoryLeaderStore):
    """Counts reads, and fails while `down`."""

    down = False
    pages = 0
    loads = 0

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        if self.down:
            raise StoreUnreachable("broken on purpose")
        assert count <= LOOK_TURNS_MAX
        self.pages += 1
        return await super().journal(after, count)

    async def snapshots(self) -> list[tuple[int, bytes]]:
        self.loads += 1
        return await super().snapshots()


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Stage:
    """A world that is led by hand, and a standby that follows it."""

    def __init__(self, seed: int = 3) -> None:
        self.world = World(seed)
        for actor in self.world.actors:
            self.world.register(actor)
        self.store = Counting(self.world.shard)
        self.standby = Standby(self.store, PREDICTORS, LoopClock())
        self.following = asyncio.ensure_future(self.standby.follow())
        self._tasks = 0

    def live(self, turns: int) -> None:
        world = self.world
        for _ in range(turns):
            world.now_ms += 50
            world.submit(f"t{self._tasks}")
            self._tasks += 1
            world.lead()
            for actor in world.actors:
                world.work(actor)
        world.settle()

    async def follow(self) -> None:
        await asyncio.sleep(SOON_S)
        assert self.standby.seq == self.world.engine.seq

    async def take_over(self) -> Recovered | None:
        """As a scheduler that got the lease; once more after it follows again."""
        await end(self.following)
        state = await self.standby.take_over(self.world.engine.seq)
        self.following = asyncio.ensure_future(self.standby.follow())
        return state

    def rewrite(self, **changes: object) -> None:
        """Record another last turn than came out."""
        fields = self.world.shard.streams["ev"].after((self.world.engine.seq - 1, 0), 1)[0][1]
        fields[1] = encode_turn(msgspec.structs.replace(decode_turn(fields[1]), **changes))


def test_standby_has_the_state_of_the_leader_and_only_the_last_turns_are_read_to_take_over():
    async def story():
        stage = Stage()
        stage.live(200)
        await stage.follow()
        stage.live(10)
        pages = stage.store.pages
        state = await stage.take_over()
        assert stage.store.pages - pages == 1
        assert state is not None
        cold = await recover(MemoryLeaderStore(stage.world.shard), PREDICTORS, stage.world.engine.seq)
        assert snapshot.take(state.engine) == snapshot.take(stage.world.engine) == snapshot.take(cold.engine)
        assert (state.cursors, state.at_ns) == (cold.cursors, cold.at_ns)
        assert state.replayed == stage.world.engine.seq
        assert (stage.standby.divergences, stage.standby.reloads, stage.standby.seq) == (0, 0, None)

    virtually(story())


@pytest.mark.parametrize("changes", [{"effects": []}, {"digest": 1}, {"seq": 10**6, "events": []}])
def test_turn_that_comes_out_otherwise_is_counted_and_the_engine_loaded_anew(changes: dict[str, object]):
    async def story():
        stage = Stage()
        stage.live(20)
        await stage.follow()
        stage.live(1)
        while not decode_turn(stage.world.turns[-1]).effects:
            stage.live(1)
        right = stage.world.turns[-1]
        stage.rewrite(**changes)
        await asyncio.sleep(10)
        diverged = stage.standby.divergences
        assert diverged >= 2
        assert stage.standby.reloads == diverged < 10  # with pauses that grow
        assert await stage.take_over() is None
        stage.world.shard.streams["ev"].after((stage.world.engine.seq - 1, 0), 1)[0][1][1] = right
        await asyncio.sleep(60)
        assert stage.standby.seq == stage.world.engine.seq
        assert not stage.following.done()

    virtually(story())


def test_standby_that_the_journal_was_cut_before_goes_on_from_the_snapshot():
    async def story():
        stage = Stage()
        stage.live(20)
        await stage.follow()
        stage.store.down = True
        for _ in range(3):
            stage.live(20)
            stage.world.checkpoint()
        stage.live(5)
        await asyncio.sleep(SOON_S)
        stage.store.down = False
        await stage.follow()
        assert (stage.standby.reloads, stage.standby.divergences) == (1, 0)
        state = await stage.take_over()
        assert state is not None
        assert snapshot.take(state.engine) == snapshot.take(stage.world.engine)
        assert state.replayed == stage.world.engine.seq - stage.world.shard.kept[0] == 5

    virtually(story())


def test_store_that_went_back_in_time_voids_the_engine_even_if_it_has_gone_on_since():
    async def story():
        stage = Stage()
        stage.live(20)
        await stage.follow()
        former = stage.world.turns[-1]
        stage.rewrite(at_ns=decode_turn(former).at_ns + 1)  # the same seq of another history
        assert await stage.take_over() is None
        stage.rewrite(at_ns=decode_turn(former).at_ns)
        await end(stage.following)
        shorter = Standby(stage.store, PREDICTORS, LoopClock())
        following = asyncio.ensure_future(shorter.follow())
        await asyncio.sleep(SOON_S)
        stage.world.shard.streams["ev"].remove((stage.world.engine.seq, 0))
        await asyncio.sleep(SOON_S)
        assert shorter.reloads == 1
        assert shorter.seq == stage.world.engine.seq - 1
        await end(following)

    virtually(story())


def test_takeover_of_a_standby_that_is_behind_reads_the_rest_in_pages():
    async def story():
        stage = Stage()
        stage.live(5)
        await stage.follow()
        stage.store.down = True
        stage.live(3 * LOOK_TURNS_MAX)
        stage.store.down = False
        state = await stage.take_over()
        assert state is not None
        assert snapshot.take(state.engine) == snapshot.take(stage.world.engine)

    virtually(story())


def test_store_that_fails_leaves_the_engine_as_it_is():
    async def story():
        stage = Stage()
        stage.live(20)
        await stage.follow()
        loads = stage.store.loads
        stage.store.down = True
        await asyncio.sleep(5)
        stage.store.down = False
        stage.live(3)
        await stage.follow()
        assert (stage.store.loads, stage.standby.reloads) == (loads, 0)

    virtually(story())


def test_snapshots_of_a_standby_are_those_that_the_leader_would_have_written(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subject, "SNAPSHOT_EVENTS", 50)

    async def story():
        stage = Stage()
        stage.live(100)
        await stage.follow()
        assert stage.world.shard.kept[0] == stage.world.engine.seq
        for _ in range(2):
            await asyncio.sleep(subject.SNAPSHOT_PAUSE_S)
            stage.live(40)
            await stage.follow()
        newest, before = stage.world.shard.kept
        assert newest == stage.world.engine.seq > before
        assert stage.world.shard.streams["ev"].after((0, 0), 1)[0][0] == (before + 1, 0)
        stage.live(3)
        state = await recover(MemoryLeaderStore(stage.world.shard), PREDICTORS, stage.world.engine.seq)
        assert state.replayed == 3
        assert snapshot.take(state.engine) == snapshot.take(stage.world.engine)

    virtually(story())
