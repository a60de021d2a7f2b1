"""From a dead letter back to a result: `nexus-sched dead` with a real scheduler and a real worker."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from nexus_sched.adapters.redis import RedisWorkerStore
from nexus_sched.cli import exit_codes, main
from nexus_sched.runtime.ports import StartLine
from nexus_sched.worker import App
from tests.integration.canaries import PAYLOAD
from tests.integration.shard import Shard, eventually, leading, working


class Dead:
    """Runs the command in a thread of this process, as the scheduler beside it needs the loop."""

    def __init__(self, shard: Shard, captured: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}", "--json"]
        self._captured = captured

    async def __call__(self, *arguments: str) -> tuple[int, dict]:
        self._captured.readouterr()
        code = await asyncio.to_thread(main, ["dead", *arguments, *self._flags])
        printed = self._captured.readouterr().out.splitlines()  # the scheduler logs beside it
        return code, json.loads(next(line for line in reversed(printed) if line.startswith("{")))


WHY = ["--reason", "the disk is mended", "--actor", "ada"]
healed = App()


@healed.task
async def where(ms: float = 0.0, _: str = "") -> float:
    return ms


async def bury_two(shard: Shard) -> None:
    """Two tasks whose deadline had passed before anybody could run them."""
    async with leading(shard):
        await shard.submit(2, "where", 7.0, deadline_ms=1.0, deadline_strict=True)
        await eventually(lambda: len(shard.ends) == 2)
    assert {end.outcome for end in shard.ends.values()} == {"deadline"}


async def test_dead_tasks_are_shown_sent_again_and_purged(shard: Shard, capsys: pytest.CaptureFixture[str]) -> None:
    dead = Dead(shard, capsys)
    await bury_two(shard)
    code, answer = await dead("list", "--reason", "deadline", "--type", "where")
    first, second = answer["letters"]
    assert (code, first["task_id"], first["reason"]) == (exit_codes.OK, "task-0", "deadline")
    code, answer = await dead("show", "task-0")
    assert (code, answer["payload"], answer["spec"]["type"]) == (exit_codes.OK, f'[7.0,"{PAYLOAD}"]', "where")

    code, answer = await dead("redrive", "--all", *WHY, "--dry-run")
    assert (code, len(answer["letters"]), len((await dead("list"))[1]["letters"])) == (exit_codes.OK, 2, 2)
    code, answer = await dead("purge", second["entry"], *WHY)
    assert (code, answer["removed"]) == (exit_codes.OK, 1)
    code, answer = await dead("redrive", "task-0", *WHY)
    assert (code, answer["letters"][0]["answer"]) == (exit_codes.OK, "queued")
    code, answer = await dead("redrive", "task-0", *WHY)
    assert (code, answer["error"]["code"]) == (exit_codes.NOT_FOUND, "LETTER_UNKNOWN")
    code, answer = await dead("log")
    assert [(each["kind"], each["actor"]) for each in answer["operations"]] == [("redrive", "ada"), ("purge", "ada")]
    assert (await shard.store.record("task-0")).state == "Q"
    assert await shard.store.record("task-1") is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["redrive", "--all"],
        ["purge", "a"],
        ["redrive", "--reason", "why"],
        ["redrive", "a", "--all", "--reason", "why"],
        ["purge", "a", "--died-of", "deadline", "--reason", "why"],
        ["purge", "--all", "--reason", "  "],
    ],
    ids=" ".join,
)
def test_change_without_a_reason_or_a_choice_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["dead", *arguments, "--redis-url", "unix:///nowhere/redis.sock"]) == exit_codes.USAGE


async def test_redriven_task_runs_under_its_next_attempt(shard: Shard, capsys: pytest.CaptureFixture[str]) -> None:
    dead = Dead(shard, capsys)
    store = RedisWorkerStore(shard.url, shard.pool)
    await store.open()
    try:
        incarnation = await store.register("leaver", msgspec.msgpack.encode({"slots": 1}))
        async with leading(shard):
            (task_id,) = await shard.submit(1, "where", 7.0, max_attempts=1)
            (item,) = await store.read_inbox("leaver", "0-0", 1, 5_000)
            start = StartLine(task_id, item.attempt, item.entry)
            assert (await store.step("leaver", incarnation, b"", [], [start])).envelopes[0] is not None
            await store.leave("leaver", incarnation)
            await eventually(lambda: task_id in shard.ends)
            assert shard.ends.pop(task_id).outcome == "attempts-exhausted"
            shard.times_ended.clear()
            assert (await dead("redrive", task_id, *WHY))[0] == exit_codes.OK
            incarnation = await store.register("leaver", msgspec.msgpack.encode({"slots": 1, "taints": ["none"]}))
            assert (await store.step("leaver", incarnation, b"", [], [start])).envelopes == [None]  # too late
            await store.leave("leaver", incarnation)
            async with working(shard, healed, "only"):
                await shard.all_succeed()
    finally:
        await store.close()
    record = await shard.store.record(task_id)
    assert (record.state, record.attempt, record.worker) == ("F", item.attempt + 1, "only")
    assert shard.results() == [7.0]
