"""Clients on a real server: large results, a full queue, lost replies, no asyncio."""

from __future__ import annotations

import asyncio

import pytest

from nexus_sched.adapters.redis import RedisSubmitterStore
from nexus_sched.client import AsyncClient, BatchRefused, Client, submission
from nexus_sched.errors import StoreUnreachable
from nexus_sched.worker import App
from tests.integration.shard import Shard, leading, raw_client, working

app = App()


@app.task
async def blob(size: int) -> bytes:
    return bytes(size)


@app.task
def echo(value: object) -> object:
    return value


async def test_results_of_any_size_come_back(shard: Shard) -> None:
    async with leading(shard), working(shard, app, "w1"), AsyncClient(shard.url, pool=shard.pool) as client:
        for size in (0, 8_000, 9_000, 3_000_000):
            handle = await client.submit("blob", size)
            assert await handle.result("10s") == bytes(size)
            assert await handle.result("10s") == bytes(size)  # from the record, long after the announcement


async def test_synchronous_client_works_beside_a_running_loop(shard: Shard) -> None:
    def use() -> list[object]:
        with Client(shard.url, pool=shard.pool) as client:
            handles = client.submit_many([submission("echo", number) for number in range(20)])
            return [handle.result("10s") for handle in handles]

    async with leading(shard), working(shard, app, "w1", slots=4):
        assert await asyncio.to_thread(use) == list(range(20))


async def test_full_queue_takes_what_fits_and_says_so(shard: Shard) -> None:
    async with AsyncClient(store=RedisSubmitterStore(shard.url, shard.pool, length_max=50)) as client:
        many = [submission("echo", number) for number in range(80)]
        with pytest.raises(BatchRefused) as caught:
            await client.submit_many(many)
        assert (caught.value.accepted, caught.value.refused) == ([one.id for one in many[:50]], many[50:])


async def test_connection_cut_while_submitting_submits_each_task_once(shard: Shard) -> None:
    async with (
        AsyncClient(shard.url, pool=shard.pool) as client,
        raw_client(shard.url) as operator,
    ):
        for number in range(10):
            cut = asyncio.ensure_future(operator.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
            await client.submit("echo", number, task_id=f"t-{number}")
            await cut
        assert await operator.call("XLEN", f"{{nx:{shard.pool}:0}}:q:5") == 10


async def test_server_that_is_not_there_is_said_after_the_patience(tmp_path) -> None:
    client = AsyncClient(f"unix://{tmp_path}/nobody.sock", patience_s=0.1)
    with pytest.raises(StoreUnreachable):
        await client.submit("echo", 1)
    await client.close()
