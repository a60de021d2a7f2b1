"""State comes from the newest readable snapshot and the journal behind it, or is refused."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore
from nexus_sched.core import snapshot
from nexus_sched.core.roster import PART_WORKERS
from nexus_sched.core.slices import PART_RECORDS
from nexus_sched.errors import SnapshotUnreadable, StateLost
from nexus_sched.model.journal import decode_turn, encode_turn
from nexus_sched.runtime import recovery
from nexus_sched.runtime.recovery import (
    REPLAYED_EVENTS_MAX,
    compress,
    encode_checkpoint,
    recover,
    restore_beside,
    restore_checkpoint,
)
from nexus_sched.testing.builders import PREDICTORS, Bench, joined, submitted
from nexus_sched.testing.world import World


@pytest.fixture
def world() -> World:
    """Twenty turns, with snapshots after the fifth and the twelfth or so."""
    world = World(3)
    for actor in world.actors:
        world.register(actor)
    for number in range(20):
        world.now_ms += 50
        world.submit(f"t{number}")
        world.lead()
        for actor in world.actors:
            world.work(actor)
        if number in (5, 12):
            world.checkpoint()
    world.settle()
    return world


async def test_recovered_state_is_the_one_that_was_left(world: World):
    state = await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)
    assert snapshot.take(state.engine) == snapshot.take(world.engine)
    assert state.cursors == world.cursors
    assert state.at_ns == decode_turn(world.turns[-1]).at_ns
    assert state.replayed == world.engine.seq - (world.shard.kept[0] or 0) > 0


@contextlib.asynccontextmanager
async def others() -> AsyncIterator[list[int]]:
    """How often others had the loop, as the only number of a list."""
    turns = [0]

    async def take_turns() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    taking = asyncio.ensure_future(take_turns())
    try:
        yield turns
    finally:
        taking.cancel()


async def test_large_checkpoint_is_restored_in_parts_between_which_others_have_the_loop(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(recovery, "DECOMPRESS_INLINE_BYTES_MAX", 2**30)  # others have the loop beside a thread anyway
    bench = Bench()
    bench.turn(*[joined(f"w{number}") for number in range(3 * PART_WORKERS)])
    tasks = 6 * PART_RECORDS
    bench.turn(*[submitted(f"t{number}") for number in range(tasks)])
    blob = compress(encode_checkpoint(bench.engine, {"q:5": "7-0"}, 5))
    async with others() as turns:
        state = await restore_beside(blob, PREDICTORS)
    assert turns[0] >= 3 + 2 * tasks // PART_RECORDS  # workers; and tasks are decoded, then put where they stand
    at_once = restore_checkpoint(blob, PREDICTORS)
    assert snapshot.take(state.engine) == snapshot.take(at_once.engine) == snapshot.take(bench.engine)
    assert (state.cursors, state.at_ns) == (at_once.cursors, at_once.at_ns) == ({"q:5": "7-0"}, 5)


async def test_journal_is_handled_again_in_parts_between_which_others_have_the_loop():
    world = World(3)  # without a snapshot
    for number in range(10 * REPLAYED_EVENTS_MAX):
        world.submit(f"t{number}")
        if number % 20 == 0:
            world.lead()
    world.settle()
    sizes = [len(turn.events) + len(turn.effects) for turn in map(decode_turn, world.turns)]
    async with others() as turns:
        state = await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)
    assert state.replayed == len(sizes)
    assert turns[0] >= sum(sizes) // (REPLAYED_EVENTS_MAX + max(sizes)) > 1


async def test_shard_without_anything_recovers_to_the_beginning():
    state = await recover(MemoryLeaderStore(World(1).shard), PREDICTORS, 0)
    assert (state.engine.seq, state.engine.tasks, set(state.cursors.values())) == (0, {}, {"0-0"})


async def test_damaged_snapshot_is_passed_over_for_the_older_one(world: World):
    newest, before = world.shard.kept
    world.shard.snapshots[newest] = world.shard.snapshots[newest][:-7]
    state = await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)
    assert state.replayed == world.engine.seq - before
    assert snapshot.take(state.engine) == snapshot.take(world.engine)


async def test_two_damaged_snapshots_are_refused(world: World):
    for seq in world.shard.kept:
        world.shard.snapshots[seq] = b"\xc1"
    with pytest.raises(SnapshotUnreadable):
        await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)


async def test_gap_in_the_journal_is_refused(world: World):
    world.shard.streams["ev"].remove((world.shard.kept[0] + 2, 0))
    with pytest.raises(StateLost, match="gap"):
        await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)


async def test_journal_that_ends_too_early_is_refused(world: World):
    world.shard.streams["ev"].remove((world.engine.seq, 0))
    with pytest.raises(StateLost, match="ends at turn"):
        await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)


async def test_shard_behind_its_own_snapshot_is_refused(world: World):
    with pytest.raises(StateLost, match="behind its own snapshot"):
        await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.shard.kept[0] - 1)


def rewrite(world: World, **changes: object) -> None:
    """Change the last turn with a dispatch in the journal behind the newest snapshot."""
    fields = next(
        fields
        for _, fields in reversed(world.shard.streams["ev"].after((world.shard.kept[0], 0), 99))
        if decode_turn(fields[1]).effects
    )
    fields[1] = encode_turn(msgspec.structs.replace(decode_turn(fields[1]), **changes))


@pytest.mark.parametrize("changes", [{"effects": []}, {"digest": 1}])
async def test_turn_that_does_not_come_out_as_recorded_is_refused(world: World, changes: dict[str, object]):
    rewrite(world, **changes)
    with pytest.raises(StateLost, match="recorded"):
        await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)


async def test_damaged_turn_is_refused(world: World):
    fields = world.shard.streams["ev"].after((world.shard.kept[0], 0), 1)[0][1]
    fields[1] = fields[1][:-1]
    with pytest.raises(SnapshotUnreadable):
        await recover(MemoryLeaderStore(world.shard), PREDICTORS, world.engine.seq)


def test_snapshot_that_restores_to_another_state_is_refused(world: World):
    parts = msgspec.msgpack.decode(zlib.decompress(world.shard.snapshots[world.shard.kept[0]]))
    parts[-2] ^= 1  # the digest; behind it is the version that took it
    with pytest.raises(SnapshotUnreadable, match="another state"):
        restore_checkpoint(zlib.compress(msgspec.msgpack.encode(parts)), PREDICTORS)


def test_cut_and_foreign_snapshots_are_refused(world: World):
    blob = snapshot.take(world.engine)
    for damaged in (b"", blob[:-1], blob[: len(blob) // 2], b"\xc1", msgspec.msgpack.encode([2, *[0] * 20])):
        with pytest.raises(SnapshotUnreadable):
            snapshot.restore(damaged, PREDICTORS)
    parts = msgspec.msgpack.decode(blob)
    parts[0] = 99
    with pytest.raises(SnapshotUnreadable, match="format 99"):
        snapshot.restore(msgspec.msgpack.encode(parts), PREDICTORS)
    parts[0], parts[6] = 1, []
    with pytest.raises(SnapshotUnreadable):
        snapshot.restore(msgspec.msgpack.encode(parts), PREDICTORS)
