"""Two versions, one journal: what the other one decided is carried out, or its snapshot is read."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.core import placing
from nexus_sched.errors import StateLost, VersionsDiffer
from nexus_sched.model.effects import AnyEffect, Dispatch
from nexus_sched.model.events import EpochBegan
from nexus_sched.model.journal import decode_turn, encode_turn
from nexus_sched.model.replica import decode_announcement, encode_announcement
from nexus_sched.runtime.ports import Lease
from nexus_sched.runtime.recovery import apply, compress, encode_checkpoint, recover, restore_checkpoint
from nexus_sched.runtime.standby import Standby
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.virtual_time import LoopClock, virtually
from nexus_sched.version import VERSION
from tests.unit.runtime.stage import Stage, names, until

OTHER = "0.0.9"


def disown(shard: MemoryShard, effects: Callable[[list[AnyEffect]], list[AnyEffect]] = list) -> None:
    """Make another version the author of all that is there, and of these effects."""
    for seq, blob in shard.snapshots.items():
        parts = msgspec.msgpack.decode(zlib.decompress(blob))
        parts[-2] ^= 1  # a digest over what that version knows
        parts[-1] = OTHER
        shard.snapshots[seq] = zlib.compress(msgspec.msgpack.encode([*parts, "what a later one adds"]))
    for _, fields in shard.streams["ev"].after((0, 0), 10_000):
        turn = decode_turn(fields[1])
        events = [
            msgspec.structs.replace(event, version=OTHER) if type(event) is EpochBegan else event
            for event in turn.events
        ]
        other = msgspec.structs.replace(turn, events=events, effects=effects(turn.effects))
        fields[1] = msgspec.msgpack.encode([*msgspec.msgpack.decode(encode_turn(other)), "what a later one adds"])


def to_nobody(effects: list[AnyEffect]) -> list[AnyEffect]:
    """The same, but that all tasks are handed to a worker that nobody knows."""
    return [
        Dispatch(msgspec.structs.replace(each.decision, worker="nobody"), each.stream, each.entry)
        if isinstance(each, Dispatch)
        else each
        for each in effects
    ]


async def led(stage: Stage) -> None:
    """Some tasks are placed and end, some are out when their leader is killed."""
    stage.lead("a")
    stage.work("w1")
    stage.submit("t1", "t2", "t3")
    await stage.all_ended()
    stage.submit("t4", "t5")
    await asyncio.sleep(0.03)
    await stage.kill("a")


def test_turns_of_another_version_are_taken_over():
    async def story():
        stage = Stage()
        await led(stage)
        disown(stage.shard)
        stage.lead("b")
        await stage.all_ended()
        await stage.close()

    virtually(story())


def test_what_another_version_decided_is_carried_out_and_written_down(monkeypatch: pytest.MonkeyPatch):
    """A leader that lets the last one go first is killed; its successor has nothing of it but the journal."""

    async def story():
        stage = Stage()
        with monkeypatch.context() as other:
            other.setattr(placing, "order_key", lambda task, *_: -float(task.id[1:]))
            stage.lead("a")
            stage.work("w1")
            stage.submit(*names(30))
            await asyncio.sleep(0.2)
            await stage.kill("a")
        with pytest.raises(StateLost, match="does not come out"):
            await recover(MemoryLeaderStore(stage.shard), PREDICTORS, stage.shard.seq or 0)
        disown(stage.shard)
        seq = stage.shard.seq or 0
        service = stage.lead("b")
        standby = stage.lead("c")
        await until(lambda: service.leading.is_set() or standby.leading.is_set())
        assert seq in stage.shard.snapshots
        stage.submit("after")
        await stage.all_ended()
        assert len(set(stage.started)) == len(stage.started) == len(stage.shard.tasks)
        assert service.standby.divergences == standby.standby.divergences == 0
        first = restore_checkpoint(stage.shard.snapshots[seq], PREDICTORS)
        for _, fields in stage.shard.streams["ev"].after((seq, 2**60), 10_000):
            apply(first, decode_turn(fields[1]))  # to the bit, from what was written down
        assert first.replayed
        assert not first.followed
        await stage.close()

    virtually(story())


def test_standby_follows_another_version_and_is_exact_again_behind_its_own():
    async def story():
        stage = Stage()
        await led(stage)
        disown(stage.shard)
        store = MemoryLeaderStore(stage.shard)
        standby = Standby(store, PREDICTORS, LoopClock())
        following = asyncio.ensure_future(standby.follow())
        await until(lambda: standby.seq == stage.shard.seq)
        assert standby._state.followed
        await asyncio.sleep(5)
        service = stage.lead("b")
        await until(service.leading.is_set)
        stage.submit("t6")
        await stage.all_ended()
        await until(lambda: standby.seq == stage.shard.seq)
        assert not standby._state.followed
        assert standby._state.engine.digest() == service._loop.engine.digest()
        assert standby.divergences == standby.reloads == 0
        following.cancel()
        await stage.close()

    virtually(story())


def test_standby_of_another_version_leaves_snapshots_to_the_leader(monkeypatch: pytest.MonkeyPatch):
    """From a snapshot of this version, the next turn of the other one would count as one's own that went wrong."""
    monkeypatch.setattr("nexus_sched.runtime.standby.SNAPSHOT_EVENTS", 1)

    async def story():
        stage = Stage()
        await led(stage)
        standby = Standby(MemoryLeaderStore(stage.shard), PREDICTORS, LoopClock())
        disown(stage.shard)
        following = asyncio.ensure_future(standby.follow())
        await until(lambda: standby.seq == stage.shard.seq)
        await asyncio.sleep(10)
        assert stage.shard.kept == (None, None)
        following.cancel()
        await stage.close()

    virtually(story())


def test_what_cannot_be_carried_out_is_left_to_whoever_is_of_that_version():
    """Nobody leads until a state is left behind the last turn; the lease is free for whoever can do that."""

    async def story():
        stage = Stage()
        await led(stage)
        state = await recover(MemoryLeaderStore(stage.shard), PREDICTORS, stage.shard.seq or 0)
        disown(stage.shard, to_nobody)
        with pytest.raises(VersionsDiffer, match="to nobody"):
            await recover(MemoryLeaderStore(stage.shard), PREDICTORS, stage.shard.seq or 0)
        service = stage.lead("b")
        await asyncio.sleep(5)
        assert not service.leading.is_set()
        assert not stage.services["b"][1].done()
        await until(lambda: stage.shard.owner == "")
        taken = stage.shard.acquire("old", "nonce", None)
        assert isinstance(taken, Lease)
        blob = compress(encode_checkpoint(state.engine, state.cursors, state.at_ns))
        stage.shard.save_snapshot(taken, stage.shard.seq or 0, blob)
        stage.shard.release(taken)
        await until(service.leading.is_set, 5)
        await stage.all_ended()
        await stage.close()

    virtually(story())


def test_state_is_left_before_the_lease_if_another_version_may_come_next():
    class Watched(MemoryLeaderStore):
        async def release(self, lease: Lease) -> None:
            left.append((shard.kept[0], shard.seq))
            await super().release(lease)

    left: list[tuple[int | None, int | None]] = []

    async def story():
        nonlocal shard
        stage = Stage()
        shard = stage.shard
        service = stage.lead("a", Watched(stage.shard))
        await until(service.leading.is_set)
        stage.submit("t1")
        await asyncio.sleep(0.05)
        service.stop(for_other_version=True)
        await stage.services.pop("a")[1]
        await stage.close()

    shard = MemoryShard()
    virtually(story())
    assert left == [(shard.seq, shard.seq)]


def test_leader_that_was_interrupted_leaves_its_state_before_it_ends():
    """A fault ends its leadership, and it is told to end before it leads again."""

    async def story():
        stage = Stage()
        service = stage.lead("a")
        stage.work("w1")
        await until(service.leading.is_set)
        stage.submit("t1", "t2")
        await asyncio.sleep(0.1)
        taken = stage.shard.acquire("a", "another", None)  # under its own name: its next write is fenced
        assert isinstance(taken, Lease)
        stage.submit("t3")
        await until(lambda: not service.leading.is_set())
        service.stop(for_other_version=True)
        await stage.services.pop("a")[1]
        assert stage.shard.kept[0] == stage.shard.seq
        assert stage.shard.owner == ""
        disown(stage.shard, to_nobody)
        stage.lead("b")
        await stage.all_ended()
        await stage.close()

    virtually(story())


def test_journal_says_which_version_leads():
    async def story():
        stage = Stage()
        service = stage.lead("a")
        await until(service.leading.is_set)
        await until(lambda: (stage.shard.seq or 0) > 0)
        (_, fields), *_ = stage.shard.streams["ev"].after((0, 0), 1)
        began = decode_turn(fields[1]).events[0]
        assert isinstance(began, EpochBegan)
        assert began.version == VERSION
        await stage.close()

    virtually(story())


def test_announcement_of_an_earlier_or_later_version_is_understood():
    earlier = msgspec.msgpack.encode({"beat": 1, "serves": {"p": 1}, "leads": [["p", 0]]})
    assert decode_announcement(earlier).version == ""
    later = msgspec.msgpack.decode(encode_announcement(decode_announcement(earlier))) | {"mood": "good", "version": "9"}
    assert decode_announcement(msgspec.msgpack.encode(later)).version == "9"
