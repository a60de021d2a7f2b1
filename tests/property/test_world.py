"""Nothing is lost, nothing ends twice, and every history can be told again to the bit, whatever happens in between."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from nexus_sched.adapters.memory.shard import DEAD, FINISHED
from nexus_sched.core import snapshot
from nexus_sched.core.engine import Engine
from nexus_sched.model.effects import Dispatch, Noticed
from nexus_sched.model.events import PredictorChosen
from nexus_sched.model.journal import decode_turn, encode_turn
from nexus_sched.model.task import Retry
from nexus_sched.replay.verify import verify
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.checks import (
    bookings_differ,
    overrides_broken,
)
from tests.property.story import Story


@pytest.fixture(scope="module", params=range(48))
def told(request: pytest.FixtureRequest) -> Story:
    print("seed", request.param)
    story = Story(request.param)
    story.tell()
    return story


def test_every_task_ends_exactly_once(told: Story):
    world = told.world
    assert world.live() == []
    assert world.engine.tasks == {}
    assert len(world.engine.backlog) == 0
    assert bookings_differ(world.engine) == []
    assert set(world.shard.tasks) == set(told.tasks)
    for task_id, task in world.shard.tasks.items():
        assert world.accepted[task_id] == (task.state == FINISHED), (task_id, task)
    assert [name for name, stream in world.shard.streams.items() if name[1] == ":" and len(stream)] == []
    counters = world.engine.counters
    ends = sum(counters[name] for name in ("finished", "failed", "dead", "cancelled"))
    assert (counters["submitted"], ends) == (len(told.tasks), len(told.tasks))
    dead = sorted(task_id for task_id, task in world.shard.tasks.items() if task.state == DEAD)
    letters = world.shard.streams["dead"].after((0, 0), 1_000)
    assert sorted(fields[1].decode() for _, fields in letters) == dead


def test_no_task_starts_more_often_than_its_rule_allows(told: Story):
    for task_id, starts in told.world.starts.items():
        retry = told.world.retry[task_id]
        bound = 1 if retry is Retry.NEVER else 4 + told.extra_starts(task_id)
        assert len(starts) <= bound, (task_id, retry, starts)


def test_recorded_history_comes_out_again_to_the_bit(told: Story):
    turns = [decode_turn(blob) for blob in told.world.turns]
    assert [encode_turn(turn) for turn in turns] == told.world.turns
    verdict = verify(Engine(PREDICTORS), turns)
    assert verdict.agrees
    assert verdict.turns == verdict.digests == len(turns)


def test_no_decision_goes_against_an_override(told: Story):
    assert overrides_broken(map(decode_turn, told.world.turns)) == []


def test_stories_have_swaps_pins_and_refusals_in_them():
    seen: set[str] = set()
    for seed in range(16):
        story = Story(seed)
        story.tell()
        for turn in map(decode_turn, story.world.turns):
            seen |= {event.name for event in turn.events if isinstance(event, PredictorChosen)}
            seen |= {effect.decision.basis for effect in turn.effects if isinstance(effect, Dispatch)}
            seen |= {effect.decision.policy for effect in turn.effects if isinstance(effect, Dispatch)}
            seen |= {effect.kind for effect in turn.effects if isinstance(effect, Noticed)}
            seen |= {
                name.split()[1].partition("=")[0]
                for effect in turn.effects
                if isinstance(effect, Dispatch)
                for name in effect.decision.overrides
            }
    assert seen >= {"ema", "learned", "pinned", "refused", "type", "hint", "breaker", "pace", "straggler", "directed"}
    assert seen >= {"pin", "avoid", "priority"}


REPLAY = """
import sys, msgspec
from nexus_sched.core import snapshot
from nexus_sched.core.engine import Engine
from nexus_sched.model.journal import decode_turn
from nexus_sched.testing.builders import PREDICTORS
engine = Engine(PREDICTORS)
for blob in msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[bytes]):
    turn = decode_turn(blob)
    assert engine.handle(turn.events, turn.at_ns) == turn.effects, turn.seq
    assert engine.digest() == turn.digest, turn.seq
sys.stdout.buffer.write(snapshot.take(engine))
"""


def test_history_comes_out_again_in_another_process_with_another_hash_seed():
    story = Story(1)
    story.tell()
    for hash_seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", REPLAY],
            input=msgspec.msgpack.encode(story.world.turns),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        )
        assert done.stdout == snapshot.take(story.world.engine)
