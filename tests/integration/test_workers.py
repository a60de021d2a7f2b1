"""`nexus-sched workers` against a real server, a real scheduler and real workers."""

from __future__ import annotations

import asyncio
import json

import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.model.events import WorkerCordoned, WorkerResumed, WorkerTripped
from tests.integration.application import paced
from tests.integration.shard import Shard, eventually, leading, working

REASON = ["--reason", "a new disk"]


class Workers:
    """Runs `nexus-sched workers` in a thread of this process, as the scheduler beside it needs the loop."""

    def __init__(self, shard: Shard, captured: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}"]
        self._captured = captured

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and everything that was printed."""
        self._captured.readouterr()
        code = await asyncio.to_thread(main, ["workers", *arguments, *self._flags])
        printed = self._captured.readouterr()
        return code, printed.out + printed.err

    async def answer(self, *arguments: str) -> tuple[int, dict]:
        """Exit code and the JSON object."""
        self._captured.readouterr()
        code = await asyncio.to_thread(main, ["workers", *arguments, *self._flags, "--json"])
        lines = self._captured.readouterr().out.splitlines()  # the scheduler beside us may have logged something
        return code, json.loads(next(line for line in lines if line.startswith("{")))


@pytest.fixture
def workers(shard: Shard, capsys: pytest.CaptureFixture[str]) -> Workers:
    return Workers(shard, capsys)


async def test_workers_are_listed_and_shown(shard: Shard, workers: Workers) -> None:
    async with leading(shard), working(shard, paced(1.0), "one", 2), working(shard, paced(1.0), "two"):
        await shard.submit(2, "work", 800.0)
        await shard.all_succeed()  # so that there is a prediction
        await shard.submit(6, "work", 800.0)
        await eventually(lambda: _placed(workers, "one", 2))
        code, shown = await workers.answer("get", "one")
        assert (code, shown["standing"], shown["slots"], shown["in_flight"]) == (0, "accepting", 2, 2)
        assert [task["running"] for task in shown["tasks"]] == [True, True]
        assert 0.0 < shown["free_in_ms"]["p50_ms"] <= shown["free_in_ms"]["p95_ms"]
        code, text = await workers.run("get", "one")
        assert code == exit_codes.OK
        assert "free in     about" in text
        assert "runs" in text

        await eventually(lambda: _listed(workers, 2))
        code, listed = await workers.answer("list")
        assert (code, listed["stale"], listed["live"]) == (0, False, 2)
        assert [each["worker"] for each in listed["workers"]] == ["one", "two"]
        code, text = await workers.run("list")
        assert code == exit_codes.OK
        assert "one" in text
        await shard.all_succeed()


async def _placed(workers: Workers, name: str, count: int) -> bool:
    return (await workers.answer("get", name))[1]["in_flight"] == count


async def _listed(workers: Workers, count: int) -> bool:
    return len((await workers.answer("list"))[1].get("workers", ())) == count


async def test_worker_is_cordoned_drained_tripped_and_resumed(shard: Shard, workers: Workers) -> None:
    async with leading(shard), working(shard, paced(1.0), "one"), working(shard, paced(1.0), "two"):
        code, would = await workers.answer("cordon", "one", *REASON, "--dry-run")
        assert (code, would["dry_run"], would["in_force"], would["after"]) == (0, True, False, None)
        assert (await workers.answer("get", "one"))[1]["standing"] == "accepting"

        for verb, standing in (("cordon", "cordoned"), ("drain", "draining")):
            code, done = await workers.answer(verb, "one", *REASON, "--actor", "ada")
            assert (code, done["in_force"], done["after"]["standing"]) == (0, True, standing)
            assert done["after"]["standing_reason"] == "a new disk"
            ids = await shard.submit(4, "work", 1.0)
            await shard.all_succeed()
            placed = {each.decision.worker for each in await shard.dispatches() if each.decision.task_id in ids}
            assert placed == {"two"}
            await eventually(lambda standing=standing: _stands(workers, "one", standing))
        code, done = await workers.answer("resume", "one", *REASON)
        assert (code, done["before"]["standing"], done["after"]["standing"]) == (0, "draining", "accepting")

        code, done = await workers.answer("breaker", "one", "open", *REASON)
        assert (code, done["after"]["breaker"]["state"]) == (0, "open")
        code, text = await workers.run("resume", "one", *REASON)
        assert code == exit_codes.OK
        assert "In force: one takes tasks" in text
        events = [event for turn in await shard.turns() for event in turn.events]
        kinds = (WorkerCordoned, WorkerResumed, WorkerTripped)
        decided = [event for event in events if isinstance(event, kinds)]
        assert [type(event) for event in decided] == [
            *(WorkerCordoned, WorkerCordoned, WorkerResumed, WorkerTripped, WorkerResumed)
        ]
        assert {event.reason for event in decided} == {"a new disk"}
        assert decided[0].actor == "ada"


async def _stands(workers: Workers, name: str, standing: str) -> bool:
    listed = (await workers.answer("list"))[1]["workers"]
    return [each["standing"] for each in listed if each["worker"] == name] == [standing]


async def test_worker_that_is_not_there_is_not_found(shard: Shard, workers: Workers) -> None:
    async with leading(shard):
        for arguments in (["get", "nobody"], ["cordon", "nobody", *REASON]):
            code, said = await workers.answer(*arguments)
            assert (code, said["error"]["code"]) == (exit_codes.NOT_FOUND, "WORKER_UNKNOWN")
        assert not any(isinstance(event, WorkerCordoned) for turn in await shard.turns() for event in turn.events)


@pytest.mark.parametrize(
    "arguments",
    [
        ["cordon", "one"],
        ["cordon", "one", "--reason", " "],
        ["cordon", "one", "--reason", "x" * 501],
        ["drain", "a b", *REASON],
        ["breaker", "one", "closed", *REASON],
        ["get", "a b"],
    ],
)
def test_mistake_is_told_before_anything_is_asked(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workers", *arguments, "--redis-url", "redis://127.0.0.1:1/0"]) == exit_codes.USAGE
    assert "cannot connect" not in capsys.readouterr().err
