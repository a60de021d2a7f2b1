"""A replay tells every difference, and agrees only with what really happened."""

from __future__ import annotations

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore
from nexus_sched.core.engine import Engine
from nexus_sched.errors import StateLost
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.replay.verify import DIFFERENCES_MAX, verify, verify_store
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.world import World


@pytest.fixture
def world() -> World:
    world = World(5)
    for actor in world.actors:
        world.register(actor)
    for number in range(40):
        world.now_ms += 50
        world.submit(f"t{number}")
        world.lead()
        for actor in world.actors:
            world.work(actor)
    world.settle()
    return world


def turns_of(world: World) -> list[Turn]:
    return [decode_turn(blob) for blob in world.turns]


def test_what_happened_comes_out_again(world: World):
    verdict = verify(Engine(PREDICTORS), turns_of(world))
    assert verdict.agrees
    assert verdict.decisions == world.engine.counters["dispatched"] >= 30
    assert (verdict.first_seq, verdict.last_seq, verdict.turns) == (1, world.engine.seq, len(world.turns))


def test_every_changed_effect_is_told_with_its_place(world: World):
    turns = turns_of(world)
    busy = [index for index, turn in enumerate(turns) if turn.effects][:2]
    turns[busy[0]] = msgspec.structs.replace(turns[busy[0]], effects=[])
    changed = msgspec.structs.replace(turns[busy[1]].effects[0], entry="9-9")
    turns[busy[1]] = msgspec.structs.replace(turns[busy[1]], effects=[changed, *turns[busy[1]].effects[1:]])
    verdict = verify(Engine(PREDICTORS), turns)
    assert not verdict.agrees
    assert [(each.seq, each.index) for each in verdict.differences][-1] == (turns[busy[1]].seq, 0)
    assert verdict.differences[0].recorded is None
    assert verdict.differences[-1].recorded == changed
    assert verdict.wrong_digests == []


def test_wrong_digest_is_told(world: World):
    turns = turns_of(world)
    turns[4] = msgspec.structs.replace(turns[4], digest=1)
    verdict = verify(Engine(PREDICTORS), turns)
    assert (verdict.agrees, verdict.wrong_digests) == (False, [5])


def test_differences_are_bounded(world: World):
    turns = [msgspec.structs.replace(turn, effects=turn.effects * 50) for turn in turns_of(world)]
    verdict = verify(Engine(PREDICTORS), turns)
    assert len(verdict.differences) == DIFFERENCES_MAX


def test_gap_is_refused(world: World):
    turns = turns_of(world)
    del turns[7]
    with pytest.raises(StateLost, match="turn 8 is missing"):
        verify(Engine(PREDICTORS), turns)


async def test_store_is_verified_from_its_first_turn(world: World):
    verdict = await verify_store(MemoryLeaderStore(world.shard), PREDICTORS)
    assert verdict.agrees
    assert (verdict.first_seq, verdict.turns) == (1, len(world.turns))


async def test_store_that_was_cut_is_verified_from_its_oldest_snapshot(world: World):
    world.checkpoint()
    cut_at = world.engine.seq
    for number in range(5):
        world.submit(f"more{number}")
        world.lead()
    world.checkpoint()
    world.lead()
    world.settle()
    verdict = await verify_store(MemoryLeaderStore(world.shard), PREDICTORS)
    assert verdict.agrees
    assert (verdict.first_seq, verdict.last_seq) == (cut_at + 1, world.engine.seq)
