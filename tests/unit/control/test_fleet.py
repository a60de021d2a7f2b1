"""The list of workers over several shards is one list, whatever the pages: engines answer for their shards."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest

from nexus_sched.control.fleet import all_workers, page
from nexus_sched.model.command import Ask, decode_command
from nexus_sched.model.effects import Answered
from nexus_sched.model.events import QuestionAsked
from nexus_sched.model.frame import STALE_AFTER_MS, Frame, Spread
from nexus_sched.runtime.commands import decided
from nexus_sched.testing.builders import Bench, joined
from nexus_sched.units import NS_PER_MS


class Shards:
    """What a pool's store has to be for questions: each shard is an engine that answers at once."""

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        self._benches = [Bench() for _ in names]
        for bench, mine in zip(self._benches, names, strict=True):
            bench.turn(*(joined(name) for name in mine))
        self.asked = 0

    async def each_shard(self) -> list[_Shard]:
        return [_Shard(self, bench) for bench in self._benches]


class _Shard:
    def __init__(self, shards: Shards, bench: Bench) -> None:
        self._shards = shards
        self._bench = bench
        self._answer: bytes | None = None

    async def command(self, blob: bytes) -> None:
        command = decode_command(blob)
        assert isinstance(command, Ask)
        event = decided(command, 0)
        assert isinstance(event, QuestionAsked)
        (answer,) = (each for each in self._bench.turn(event) if isinstance(each, Answered))
        self._answer = answer.blob
        self._shards.asked += 1

    async def answer(self, reply: str, timeout_ms: int) -> bytes | None:
        return self._answer


def frame(workers: int, at_ms: int) -> Frame:
    facts = dict.fromkeys(("epoch", "seq", "queued", "in_flight", "workers_accepting", "shard", "predictions"), 0)
    words = dict.fromkeys(("pool", "owner", "mode", "predictor", "breaker"), "")
    return Frame(
        **facts,
        **words,
        at_ms=at_ms,
        workers_live=workers,
        queued_predicted_ms=0.0,
        counters={},
        decision_us=Spread(),
        turn_us=Spread(),
        predictions_within_25=None,
        workers=[],
    )


@pytest.fixture
def now_ms() -> int:
    return time.time_ns() // NS_PER_MS


@pytest.mark.parametrize("seed", range(8))
async def test_pages_put_together_are_all_workers_once_in_order(seed: int, now_ms: int):
    print("seed", seed)
    dice = random.Random(seed)
    names = [f"w-{number:04}" for number in range(dice.choice((0, 1, 90, 1_100)))]
    shares: list[list[str]] = [[] for _ in range(dice.choice((1, 2, 3)))]
    for name in names:
        dice.choice(shares).append(name)
    store, picture = Shards(shares), frame(len(names), now_ms)
    found, cursor, count = [], "", dice.choice((7, 100, 1_000))
    while cursor is not None:
        one = await page(store, picture, cursor, count)
        assert not one.stale
        assert one.live == len(names)
        assert len(one.workers) <= count
        found += [row.worker for row in one.workers]
        assert one.cursor is None or one.cursor == found[-1]
        cursor = one.cursor
    assert found == names
    assert [row.worker for row in (await all_workers(store, picture)).workers] == names


async def test_without_a_scheduler_the_picture_is_what_there_is(now_ms: int):
    store = Shards([["w1"]])
    old = await page(store, frame(1, now_ms - STALE_AFTER_MS - 1_000), "", 10)
    assert (old.stale, old.workers, old.live, old.cursor) == (True, [], 1, None)
    assert store.asked == 0
