"""Two versions, one journal: what comes out the same is taken over, the rest by way of a snapshot or not at all."""

from __future__ import annotations

import asyncio
import zlib

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.errors import VersionsDiffer
from nexus_sched.model.events import EpochBegan
from nexus_sched.model.journal import decode_turn, encode_turn
from nexus_sched.model.replica import decode_announcement, encode_announcement
from nexus_sched.runtime.ports import Lease
from nexus_sched.runtime.recovery import compress, encode_checkpoint, recover
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.virtual_time import virtually
from nexus_sched.version import VERSION
from tests.unit.runtime.stage import Stage, until

OTHER = "0.0.9"


def disown(shard: MemoryShard, *, otherwise: bool) -> None:
    """Make another version the author of all that is there; `otherwise`: one that decides otherwise."""
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
        effects = turn.effects[1:] if otherwise else turn.effects
        blob = msgspec.msgpack.decode(encode_turn(msgspec.structs.replace(turn, events=events, effects=effects)))
        fields[1] = msgspec.msgpack.encode([*blob, "what a later one adds"])


async def led(stage: Stage) -> None:
    """Some tasks are placed and end, some are out when their leader is killed."""
    stage.lead("a")
    stage.work("w1")
    stage.submit("t1", "t2", "t3")
    await stage.all_ended()
    stage.submit("t4", "t5")
    await asyncio.sleep(0.03)
    await stage.kill("a")


def test_turns_of_another_version_that_come_out_the_same_are_taken_over():
    async def story():
        stage = Stage()
        await led(stage)
        disown(stage.shard, otherwise=False)
        stage.lead("b")
        await stage.all_ended()
        await stage.close()

    virtually(story())


def test_turns_that_come_out_otherwise_are_left_to_whoever_is_of_that_version():
    """Nobody leads until a state is left behind the last turn; the lease is free for whoever can do that."""

    async def story():
        stage = Stage()
        await led(stage)
        state = await recover(MemoryLeaderStore(stage.shard), PREDICTORS, stage.shard.seq or 0)
        disown(stage.shard, otherwise=True)
        with pytest.raises(VersionsDiffer, match=f"taken by version {OTHER}"):
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
        disown(stage.shard, otherwise=True)
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
