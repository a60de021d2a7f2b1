"""Leaders of versions that decide differently take turns: each follows what the others decided, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest
from msgspec import structs

from nexus_sched.adapters.memory.shard import FINISHED
from nexus_sched.core.engine import Engine
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent, EpochBegan, SettingsChanged
from nexus_sched.model.journal import decode_turn
from nexus_sched.model.settings import LEAST_OUTSTANDING, Preemption, Reaction
from nexus_sched.model.task import Retry
from nexus_sched.runtime.ports import INPUT_STREAMS
from nexus_sched.testing.checks import bookings_differ, standings_differ, views_differ
from nexus_sched.testing.world import World
from tests.property.story import Story

# What the versions make of a configuration; it is the same for all of them.
EAGER = {
    "worker_killer_deaths": 1,
    "prefetch": 3,
    "order_weight": 20.0,
    "reaction": Reaction(speculate=True, speculate_after=0.2, copies_share_max=1.0, pause_ms=1, gain_ms_min=0.0),
    "preemption": Preemption(enabled=True, priority_gap=1, restart_ms=0.0, gain_min=0.01, pause_ms=1),
}
CALM = {
    "worker_killer_deaths": 9,
    "prefetch": 0,
    "backoff_ms": 700.0,
    "fallback": LEAST_OUTSTANDING,
    "predictor": "ema",
    "reaction": Reaction(move=False),
    "preemption": Preemption(),
}


class Version(Engine):
    """Takes a configuration as its version does."""

    means: ClassVar[dict[str, object]] = {}

    def _take_in(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        return super()._take_in([self._meant(event) for event in events], at_ns)

    def _meant(self, event: AnyEvent) -> AnyEvent:
        if isinstance(event, EpochBegan | SettingsChanged):
            return structs.replace(event, settings=structs.replace(event.settings, **self.means))
        return event


class Eager(Version):
    means = EAGER


class Calm(Version):
    means = CALM


VERSIONS = (Engine, Eager, Calm)


class Mixed(World):
    """Whoever leads next is of any version, and has nothing but the journal."""

    followed = 0

    def checkpoint(self) -> None:
        self.settle()

    def fail_over(self) -> None:
        del self.turns[len(self.turns) - len(self.under_way) :]
        self.under_way.clear()
        self.engine = self.random.choice(VERSIONS)(self.predictors)
        self.cursors = dict.fromkeys(INPUT_STREAMS, "0-0")
        for turn in map(decode_turn, self.turns):
            self.engine.follow(turn.events, turn.effects, turn.at_ns)
            self.cursors.update(turn.cursors)
            self.followed += 1
        assert bookings_differ(self.engine) == []
        assert standings_differ(self.engine) == []
        assert views_differ(self.engine, self.shard, self.cursors) == []
        self.lease = self._acquire()
        assert self.engine.seq == self.lease.seq
        self.turn([EpochBegan(self.lease.epoch, "leader", self.settings)])


class Succession(Story):
    """The same story, with leaders that fall often."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Mixed)
        self.reconfigured = True  # limits and shares are those of whoever leads

    def lead(self) -> None:
        if self.random.random() < 0.25:
            self.world.fail_over()
        super().lead()

    def restore(self) -> None:
        """Of a version that is nobody's there is no twin."""


@pytest.mark.parametrize("seed", range(96))
def test_leaders_of_any_version_go_on_from_what_others_decided(seed: int):
    story = Succession(seed)
    story.tell()
    world = story.world
    assert (world.live(), world.engine.tasks, len(world.engine.backlog)) == ([], {}, 0)
    assert bookings_differ(world.engine) == []
    assert [name for name, stream in world.shard.streams.items() if name[1] == ":" and len(stream)] == []
    for task_id, task in world.shard.tasks.items():
        assert world.accepted[task_id] == (task.state == FINISHED), (task_id, task)
    for task_id, starts in world.starts.items():
        bound = 1 if world.retry[task_id] is Retry.NEVER else 4 + story.extra_starts(task_id)
        assert len(starts) <= bound, (task_id, starts)


def test_versions_decide_otherwise_and_are_followed():
    """Turns of each version come out otherwise in the others; and stories have leaders that fall."""
    stories = [Succession(seed) for seed in range(6)]
    differing: set[type[Engine]] = set()
    for story in stories:
        story.tell()
        turns = list(map(decode_turn, story.world.turns))
        for version in VERSIONS:
            engine = version(story.world.predictors)
            if any(engine.handle(turn.events, turn.at_ns) != turn.effects for turn in turns):
                differing.add(version)
    assert differing == set(VERSIONS)
    assert sum(story.world.followed for story in stories) > 100
