"""The same task from many clients, while leaders die: it runs once, and everybody gets the one result, for its time."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from nexus_sched.client import AsyncClient
from nexus_sched.worker import App
from tests.integration.programs import Programs
from tests.integration.shard import Shard, eventually, raw_client, working

CLIENTS, TASKS, KILLS = 4, 60, 2
RUN_MS = 20.0
KILL_EVERY_S = 0.4
RESULT_TTL_S = 3_600  # of the workers in this process

app = App()
runs: dict[int, list[str]] = {}


@app.task
async def unique(number: int) -> str:
    """What no other execution gives."""
    runs.setdefault(number, []).append(execution := uuid4().hex)
    await asyncio.sleep(RUN_MS / 1_000)
    return execution


async def test_task_that_many_clients_submit_while_leaders_die_runs_once(shard: Shard, programs: Programs) -> None:
    runs.clear()
    leader = programs.scheduler("scheduler.lease=1s")
    async with working(shard, app, "w-0", 4), working(shard, app, "w-1", 4):
        asking = [asyncio.ensure_future(_ask_for_all(shard)) for _ in range(CLIENTS)]
        for done in range(1, KILLS + 1):
            await eventually(lambda done=done: len(runs) >= done * TASKS // (KILLS + 2))
            leader.kill()
            leader = programs.scheduler("scheduler.lease=1s")
        answers = await asyncio.gather(*asking)
    assert {number: len(executions) for number, executions in runs.items()} == dict.fromkeys(range(TASKS), 1)
    assert answers == [[runs[number][0] for number in range(TASKS)]] * CLIENTS
    async with raw_client(shard.url) as client:
        spans_s = [await client.call("TTL", shard.store.keys.result(f"same-{number}")) for number in range(TASKS)]
    assert all(RESULT_TTL_S - 60 < span_s <= RESULT_TTL_S for span_s in spans_s), spans_s


async def _ask_for_all(shard: Shard) -> list[object]:
    """Submit every task under its name, as if nobody else did, and wait for the results."""
    async with AsyncClient(shard.url, pool=shard.pool) as client:
        handles = []
        for number in range(TASKS):
            handles.append(await client.submit("unique", number, task_id=f"same-{number}"))
            await asyncio.sleep(RUN_MS / 1_000)
        return [await handle.result(timeout="60s") for handle in handles]
