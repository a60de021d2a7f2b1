"""Three schedulers as real processes, and a pool of three shards that they share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from nexus_sched.adapters.redis import RedisInspectorStore, RedisPoolStore
from nexus_sched.client import AsyncClient, AsyncTaskHandle, submission
from nexus_sched.client.connect import connect as submitter_store
from nexus_sched.sharding.hashing import shard_of
from nexus_sched.testing.servers import TestServer
from nexus_sched.worker import App, Worker, WorkerSettings
from nexus_sched.worker.connect import connect_pool
from nexus_sched.worker.log import Log
from tests.integration.programs import Program, Programs
from tests.integration.shard import TIMEOUT_S, eventually

SHARDS = 3
WORKERS = 6
TAKEN_OVER_S_MAX = 5.0
EVEN_S_MAX = 60.0  # on a machine that is busy with other tests; a few seconds as a rule


class Pool:
    """The shards of one pool, as their leases say."""

    def __init__(self, url: str, name: str) -> None:
        self._stores = [RedisInspectorStore(url, name, number) for number in range(SHARDS)]

    async def owners(self) -> list[int]:
        """Process id of whoever leads each shard, 0 where nobody does."""
        found = []
        for store in self._stores:
            meta = await store.meta()
            found.append(int((meta.owner if meta else "").rpartition(":")[2] or 0))
        return found

    async def epochs(self) -> list[int]:
        return [meta.epoch if (meta := await store.meta()) else 0 for store in self._stores]

    async def is_led_by_each(self, *programs: Program) -> bool:
        return sorted(await self.owners()) == sorted(program.pid for program in programs)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@contextlib.asynccontextmanager
async def working(url: str, pool: str) -> AsyncIterator[list[Worker]]:
    """Real workers within this process, that find their shards by themselves."""
    app = App()

    @app.task
    async def nap(ms: float) -> float:
        await asyncio.sleep(ms / 1e3)
        return ms

    workers = []
    for number in range(WORKERS):
        name = f"w-{number}"
        store = connect_pool(url, pool, None, result_ttl_s=3_600)
        workers.append(Worker(app, store, WorkerSettings(worker_id=name, slots=4), Log("error", name)))
    running = [asyncio.ensure_future(worker.run()) for worker in workers]
    try:
        await asyncio.wait_for(asyncio.gather(*(worker.ready.wait() for worker in workers)), TIMEOUT_S)
        yield workers
        for worker in workers:
            worker.drain()
        await asyncio.wait_for(asyncio.gather(*running), TIMEOUT_S)
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_replicas_share_shards_and_lose_nothing_when_one_dies_or_joins(
    server: TestServer, pool: str, programs: Programs
) -> None:
    def scheduler() -> Program:
        return programs.scheduler(f"pools.{pool}.shards={SHARDS}")

    leases = Pool(server.url, pool)
    first, second, third = scheduler(), scheduler(), scheduler()
    store = submitter_store(server.url, pool)
    async with working(server.url, pool), AsyncClient(store=store) as client:
        places = RedisPoolStore(server.url, pool)
        await places.open()
        by_shard = Counter(placement.shard for placement in (await places.placements()).values())
        assert by_shard == dict.fromkeys(range(SHARDS), WORKERS // SHARDS)
        await eventually(lambda: leases.is_led_by_each(first, second, third), EVEN_S_MAX)
        handles = await client.submit_many([submission("nap", 5.0) for _ in range(200)])
        assert {shard_of(handle.id, SHARDS) for handle in handles} == set(range(SHARDS))

        stream = asyncio.ensure_future(_submit_steadily(client))
        second.kill()
        killed_at_s = time.monotonic()
        await eventually(lambda: _led_by(leases, first, third), TIMEOUT_S)
        assert time.monotonic() - killed_at_s < TAKEN_OVER_S_MAX
        epochs = await leases.epochs()
        fourth = scheduler()
        await eventually(lambda: leases.is_led_by_each(first, third, fourth), EVEN_S_MAX)
        assert sum(await leases.epochs()) - sum(epochs) <= 2 * SHARDS
        stream.cancel()
        handles += await stream
        assert len(handles) > 220

        results = await asyncio.gather(*(client.result(handle.id, 30) for handle in handles))
        assert set(results) == {5.0}
        assert await client.state(handles[0].id) == "succeeded"
        attempts = Counter([record.attempt for handle in handles if (record := await store.record(handle.id))])
        assert attempts == {1: len(handles)}  # nothing was taken back, by neither kind of change
        await places.close()
    for program in (first, third, fourth):
        program.terminate()
        assert program.wait() == 0
        assert "Traceback" not in program.output
    await leases.close()


async def _submit_steadily(client: AsyncClient) -> list[AsyncTaskHandle]:
    handles = []
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            handles.append(await client.submit("nap", 5.0))
            await asyncio.sleep(0.02)
    return handles


async def _led_by(leases: Pool, *programs: Program) -> bool:
    return {*await leases.owners()} <= {program.pid for program in programs}


def test_scheduler_that_wants_another_number_of_shards_is_refused(
    server: TestServer, pool: str, programs: Programs
) -> None:
    first = programs.scheduler(f"pools.{pool}.shards=2")
    while f"Scheduling pool {pool} (2 shards)" not in first.output:
        assert not first.ended(), first.output
        time.sleep(0.02)
    other = programs.scheduler(f"pools.{pool}.shards=3")
    assert other.wait() == 3
    assert f"pool '{pool}' has 2 shards" in other.output
    assert "write shards = 2" in other.output
    first.terminate()
    assert first.wait() == 0


def test_commands_look_at_all_shards_of_a_pool(server: TestServer, pool: str, programs: Programs) -> None:
    first = programs.scheduler(f"pools.{pool}.shards=2")
    while first.output.count("leading") < 2:
        assert not first.ended(), first.output
        time.sleep(0.02)
    worker = programs.worker("one", 2)
    status = told(programs, "status", "--json")
    while status["frame"]["workers_live"] == 0:
        assert not worker.ended(), worker.output
        time.sleep(0.1)
        status = told(programs, "status", "--json")
    assert [shard["shard"] for shard in status["shards"]] == [0, 1]
    assert sorted(shard["workers_live"] for shard in status["shards"]) == [0, 1]
    (degraded,) = status["degraded"]
    assert "no worker takes tasks" in degraded
    checks = told(programs, "doctor", "--json")["checks"]
    assert [check["sentence"] for check in checks if check["name"] == "shards"] == ["2 shards"]
    assert [check["level"] for check in checks if check["name"] == "spread"] == ["warn"]
    report = told(programs, "fsck", "--json")
    assert [shard["shard"] for shard in report["shards"]] == [0, 1]
    assert report["findings"] == []
    assert told(programs, "fsck", "--shard", "1", "--json")["shard"] == 1
    assert told(programs, "workers", "get", "one", "--json")["worker"] == "one"
    assert [each["worker"] for each in told(programs, "workers", "list", "--json")["workers"]] == ["one"]
    cordoned = told(programs, "workers", "cordon", "one", "--reason", "a test", "--json")
    assert cordoned["in_force"]
    pinned = ("override", "add", "--scope", "type=a", "--effect", "estimate=1s", "--reason", "r", "--for", "1h")
    assert told(programs, *pinned, "--json")["in_force"]
    assert told(programs, "override", "remove", "--scope", "type=a", "--json")["in_force"]
    refused = programs.start("journal", "export", "journal.bin")
    assert refused.wait() == 2
    assert "name one, with --set pool.shard=N" in refused.output


def told(programs: Programs, *command: str) -> dict[str, Any]:
    """What a command says as JSON."""
    program = programs.start(*command)
    program.wait()
    line = next(line for line in program.output.splitlines() if line.startswith("{"))
    answer: dict[str, Any] = json.loads(line)
    return answer
