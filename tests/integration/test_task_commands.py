"""What people decide by command line about tasks, workers and the pool: on a real pool, with its trail behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
import redis

from nexus_sched.adapters.redis import RedisAuditStore
from nexus_sched.cli import exit_codes, main
from nexus_sched.client import AsyncClient
from nexus_sched.control import tasks
from nexus_sched.control.desk import Desk
from nexus_sched.control.record import Actor, Entry
from nexus_sched.control.trail import Trail
from nexus_sched.model.command import BoostTask, RetryTask
from nexus_sched.model.events import CancelRequested
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.application import paced
from tests.integration.shard import Shard, eventually, leading, working

WHY = ["--reason", "a test", "--actor", "ann"]


class Command:
    """Runs the command line in a thread of this process, as the scheduler beside it needs the loop."""

    def __init__(self, shard: Shard, captured: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}", "--json"]
        self._captured = captured

    async def __call__(self, *arguments: str, code: int = exit_codes.OK) -> dict:
        self._captured.readouterr()
        found = await asyncio.to_thread(main, [*arguments, *self._flags])
        output = self._captured.readouterr()
        assert found == code, f"{arguments}: {found} {output.out}{output.err}"
        return json.loads(output.out)


@pytest.fixture
def command(shard: Shard, server: TestServer, capsys: pytest.CaptureFixture[str]) -> Command:
    if server.kind != VALKEY:
        pytest.skip("the stores of both servers have tests of their own")
    return Command(shard, capsys)


async def seen(shard: Shard) -> bool:
    frame = await shard.frame()
    return frame is not None and frame.workers_accepting > 0


async def test_decisions_about_tasks_and_the_pool_take_effect_and_leave_a_trail(shard: Shard, command: Command):
    async with leading(shard), working(shard, paced(1.0), "w1"):
        await eventually(lambda: seen(shard))
        dry = await command("pool", "pause", "--dry-run", *WHY)
        assert (dry["dry_run"], dry["in_force"]) == (True, False)
        assert (await command("pool", "pause", *WHY))["in_force"]
        first, second, third = await shard.submit(3, "work", 1.0)
        boosted = await command("task", "boost", second, "--priority", "9", *WHY)
        assert (boosted["in_force"], boosted["before"]["state"]) == (True, "queued")
        await command("task", "retry", second, *WHY, code=exit_codes.CONFLICT)
        moved = await command("task", "reassign", third, "--to", "w1", *WHY)
        assert moved["in_force"]
        await command("task", "reassign", third, *WHY, code=exit_codes.CONFLICT)
        await command("task", "cancel", "nobody", *WHY, code=exit_codes.NOT_FOUND)
        gone = await command("task", "cancel", first, *WHY)
        assert gone["after"]["state"] == "cancelled"
        assert (await command("pool", "resume", *WHY))["in_force"]
        await eventually(lambda: ended(shard, second, third))
        assert (await command("pool", "mode", "shadow", *WHY))["after"]["mode"] == "shadow"
        assert (await command("workers", "evict", "w1", *WHY))["in_force"]
        assert (await command("workers", "resume", "w1", *WHY))["in_force"]
        dispatched = [each.decision.task_id for each in await shard.dispatches()]
        assert dispatched.index(second) < len(dispatched)
        assert first not in dispatched
    records = (await command("audit", "tail"))["records"]
    assert [each["action"] for each in records] == [
        *("pool.pause", "task.boost", "task.reassign", "task.cancel", "pool.resume", "pool.mode"),
        *("worker.evict", "worker.resume"),
    ]
    assert {each["actor"] for each in records} == {"ann"}
    assert len((await command("audit", "search", "w1"))["records"]) == 3
    assert (await command("audit", "verify"))["whole"]


async def ended(shard: Shard, *task_ids: str) -> bool:
    records = [await shard.store.record(task_id) for task_id in task_ids]
    return all(record is not None and record.outcome == "succeeded" for record in records)


class LateTrail(Trail):
    """A trail that takes so long to write that something else has happened meanwhile."""

    def __init__(self, shard: Shard, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(RedisAuditStore(shard.url, shard.pool), 1_000)
        self._meanwhile = meanwhile

    async def write(self, entry: Entry) -> int:
        number = await super().write(entry)
        await self._meanwhile()
        return number


async def test_decision_that_came_too_late_says_what_happened_instead(shard: Shard, command: Command):
    ann, why = Actor("ann", "here"), "a test"

    async def done(task_id: str) -> bool:
        return await ended(shard, task_id)

    async with leading(shard), AsyncClient(store=shard.store) as client:
        await eventually(lambda: led(shard))

        async def meanwhile() -> None:
            async with working(shard, paced(1.0), "w1"):
                await eventually(lambda: done(task_id))

        desk = Desk(shard.store, client, LateTrail(shard, meanwhile))
        (task_id,) = await shard.submit(1, "work", 1.0)
        gone = await tasks.cancel(desk, ann, task_id, why, dry_run=False)
        assert (gone.outcome, gone.in_force, gone.after.state) == ("already_ended", False, "succeeded")
        (task_id,) = await shard.submit(1, "work", 1.0)
        boosted = await tasks.boost(desk, ann, BoostTask(task_id, 9, why), dry_run=False)
        assert (boosted.outcome, boosted.in_force) == ("already_ended", False)
        (task_id,) = await shard.submit(1, "work", 1.0, delay_ms=400.0)
        retried = await tasks.retry(desk, ann, RetryTask(task_id, why), dry_run=False)
        assert (retried.outcome, retried.in_force) == ("already_ended", False)
        await desk.trail.close()
    cancels = [each for turn in await shard.turns() for each in turn.events if isinstance(each, CancelRequested)]
    assert [(each.reason, each.actor) for each in cancels] == [("a test", "ann")]


async def led(shard: Shard) -> bool:
    return await shard.frame() is not None


async def test_trail_that_was_tampered_with_is_found_out(shard: Shard, server: TestServer, command: Command):

    async with leading(shard), working(shard, paced(1.0), "w1"):
        await eventually(lambda: seen(shard))
        for _ in range(2):
            await command("workers", "cordon", "w1", *WHY)
            await command("workers", "resume", "w1", *WHY)
    key = f"{{nx:{shard.pool}:0}}:audit"
    with redis.Redis.from_url(server.url) as store:
        store.xdel(key, "2-0")
        cut = await command("audit", "verify", code=exit_codes.VERIFICATION_FAILED)
        assert cut["findings"] == ["record 3 follows 1: records are missing, doubled or moved"]
        store.xdel(key, "3-0", "4-0")
        end = await command("audit", "verify", code=exit_codes.VERIFICATION_FAILED)
        assert "the store knows of 4" in end["findings"][0]
