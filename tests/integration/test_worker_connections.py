"""A worker on a real server that cuts its connections: nothing is lost, nothing is run twice."""

from __future__ import annotations

import asyncio
from collections import Counter

from nexus_sched.client import AsyncClient, submission
from nexus_sched.worker import App
from tests.integration.shard import Shard, leading, raw_client, working


async def test_cut_connections_neither_lose_nor_repeat_a_task(shard: Shard) -> None:
    app, runs = App(), Counter[int]()

    @app.task
    async def count(number: int) -> int:
        runs[number] += 1
        await asyncio.sleep(0.01)
        return number

    async with (
        leading(shard) as service,
        working(shard, app, "w1", slots=4),
        AsyncClient(shard.url, pool=shard.pool) as client,
        raw_client(shard.url) as operator,
    ):
        del service
        handles = await client.submit_many([submission("count", number) for number in range(200)])
        results = asyncio.gather(*(handle.result("30s") for handle in handles))
        for _ in range(5):
            await asyncio.sleep(0.1)
            await operator.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await operator.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
        assert await results == list(range(200))
    assert runs == Counter(range(200))


async def test_running_task_is_cancelled_by_its_submitter(shard: Shard) -> None:
    app, began = App(), asyncio.Event()

    @app.task
    async def endless() -> None:
        began.set()
        await asyncio.sleep(3_600)

    async with leading(shard), working(shard, app, "w1"), AsyncClient(shard.url, pool=shard.pool) as client:
        running, waiting = await client.submit("endless"), await client.submit("endless")
        await asyncio.wait_for(began.wait(), 10.0)
        await waiting.cancel()
        await running.cancel()
        for handle in (running, waiting):
            try:
                await handle.result("10s")
            except Exception as error:
                assert getattr(error, "outcome", error) == "cancelled"
            else:
                raise AssertionError("it has a result")


async def test_failing_task_runs_as_often_as_agreed(shard: Shard) -> None:
    app, attempts = App(), Counter[str]()

    @app.task
    async def flaky(name: str, succeed_at: int) -> int:
        attempts[name] += 1
        if attempts[name] < succeed_at:
            raise ValueError("not yet")
        return attempts[name]

    async with leading(shard), working(shard, app, "w1"), AsyncClient(shard.url, pool=shard.pool) as client:
        good = await client.submit("flaky", "good", 3, retry="any", max_attempts=3)
        bad = await client.submit("flaky", "bad", 9, retry="any", max_attempts=3)
        assert await good.result("10s") == 3
        try:
            await bad.result("10s")
        except Exception as error:
            assert "ValueError: not yet" in str(error)
        else:
            raise AssertionError("it has a result")
    assert attempts == {"good": 3, "bad": 3}
