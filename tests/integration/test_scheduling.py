"""A task goes in, runs on the right worker, and the answer comes back: on real servers."""

from __future__ import annotations

import contextlib
import time
from collections import Counter

from nexus_sched.model.settings import PREDICTIVE, ROUND_ROBIN, SHADOW
from tests.integration.application import app, paced
from tests.integration.shard import Shard, leading, raw_client, working


async def test_tasks_submitted_before_anybody_started_run_once_and_leave_nothing_behind(shard: Shard) -> None:
    await shard.submit(100)
    async with leading(shard) as service, working(shard, app, "w-0", 4), working(shard, app, "w-1", 4):
        await shard.submit(100)
        await shard.all_succeed()
        engine = service._loop.engine
        assert engine.counters["finished"] == engine.counters["submitted"] == 200
        assert not engine.tasks
    async with raw_client(shard.url) as client:
        prefix = shard.store.keys.prefix
        assert await client.call("KEYS", prefix + b":p:*") == []
        for stream in (b"q:5", b"q:r", b"i:w-0", b"i:w-1"):
            assert await client.call("XLEN", prefix + b":" + stream) == 0


async def test_round_robin_gives_every_worker_the_same_share(shard: Shard) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(leading(shard, ROUND_ROBIN))
        for number in range(5):
            await stack.enter_async_context(working(shard, app, f"w-{number}", 2))
        await shard.submit(100)
        await shard.all_succeed()
    placed = Counter(dispatch.decision.worker for dispatch in await shard.dispatches())
    assert placed == {f"w-{number}": 20 for number in range(5)}


async def test_predictive_prefers_the_faster_of_two_workers_and_beats_round_robin(shard: Shard) -> None:
    async def burst_s(mode: str) -> float:
        async with leading(shard, mode):
            began_s = time.monotonic()
            await shard.submit(24, "work", 50.0)
            await shard.all_succeed()
            return time.monotonic() - began_s

    async with working(shard, paced(5.0), "fast"), working(shard, paced(0.5), "slow"):
        await burst_s(SHADOW)  # it learns how long the type takes, and how slow each worker is
        taking_turns_s = await burst_s(ROUND_ROBIN)
        predictive_s = await burst_s(PREDICTIVE)
    decisions = [dispatch.decision for dispatch in await shard.dispatches()]
    placed = Counter(decision.worker for decision in decisions if decision.policy == PREDICTIVE)
    tasks = {decision.task_id for decision in decisions if decision.policy == PREDICTIVE}
    assert len(tasks) == 24, "every task of the last burst must be placed by prediction; one may move"
    # 10 ms against 100 ms: in turns the slow one needs 1.2 s for its half
    assert placed["fast"] > 2 * placed["slow"]
    assert predictive_s < 0.75 * taking_turns_s


async def test_what_decided_is_told_with_each_decision(shard: Shard) -> None:
    async with leading(shard), working(shard, paced(1.0), "only"):
        await shard.submit(1, "work", 10.0)
        await shard.all_succeed()
        await shard.submit(1, "work", 10.0)
        await shard.all_succeed()
    first, second = (dispatch.decision for dispatch in await shard.dispatches())
    assert (first.policy, first.predicted_ms) == (ROUND_ROBIN, None), "nothing is known of the type yet"
    assert second.policy == PREDICTIVE
    assert second.predicted_ms is not None
    assert 9.0 < second.predicted_ms < 500.0
