"""Worker processes as service managers treat them: signals, pauses, and a name that is used twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from nexus_sched.client import AsyncClient
from tests.integration.programs import Program, Programs
from tests.integration.shard import Shard, eventually, leading


def start(programs: Programs, name: str, *more: str) -> Program:
    return programs.start(
        "worker", "tests.integration.worker_application:app", "--id", name, "--slots", "1", *more
    )  # fmt: skip


def lines(diary: Path) -> list[str]:
    return diary.read_text().split() if diary.exists() else []


@pytest.mark.parametrize("name", ["blocking", "awaiting"])
async def test_terminated_worker_finishes_what_runs_and_gives_back_the_rest(
    shard: Shard, programs: Programs, tmp_path: Path, name: str
) -> None:
    diary = tmp_path / "diary"
    async with leading(shard), AsyncClient(shard.url, pool=shard.pool) as client:
        worker = start(programs, "first")
        running = await client.submit(name, str(diary), 0.5)
        waiting = await client.submit(name, str(diary), 0.0)
        await eventually(lambda: lines(diary) == ["begin"])
        worker.terminate()
        assert await running.result("10s") in ("blocked", "awaited")
        assert worker.wait() == 0
        assert lines(diary) == ["begin", "end"]
        assert await waiting.state() == "queued"
        start(programs, "second")
        await waiting.result("10s")
    assert lines(diary) == ["begin", "end"] * 2


async def test_second_signal_stops_at_once_and_the_task_runs_elsewhere(
    shard: Shard, programs: Programs, tmp_path: Path
) -> None:
    diary, again = tmp_path / "diary", tmp_path / "again"
    async with leading(shard), AsyncClient(shard.url, pool=shard.pool) as client:
        worker = start(programs, "first")
        task = await client.submit("blocking", str(diary), 60.0)
        await eventually(lambda: lines(diary) == ["begin"])
        worker.terminate()
        await eventually(lambda: "draining" in worker.output)
        worker.terminate()
        assert worker.wait(10.0) == 1
        assert await task.state() == "queued"
        diary.rename(again)
        start(programs, "second")
        await eventually(lambda: lines(diary) == ["begin"])


async def test_worker_that_stood_still_is_given_up_and_comes_back(
    shard: Shard, programs: Programs, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    programs.scheduler("worker.heartbeat=200ms", "scheduler.suspect=600ms", "scheduler.dead=1200ms")
    async with AsyncClient(shard.url, pool=shard.pool) as client:
        worker = start(programs, "sleeper", "--set", "worker.heartbeat=200ms")
        task = await client.submit("awaiting", str(diary), 1.0)
        await eventually(lambda: lines(diary) == ["begin"])
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            await eventually(lambda: _is_queued(task))
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        assert await task.result("10s") == "awaited"
        # The run that had gone on counts: nobody had to begin again.
        assert lines(diary) == ["begin", "end"]
        assert "registering again" in worker.output
        later = await client.submit("awaiting", str(diary), 0.0)
        await later.result("10s")


async def _is_queued(task: object) -> bool:
    return await task.state() == "queued"


async def test_name_used_twice_ends_one_of_both_with_its_exit_code(shard: Shard, programs: Programs) -> None:
    async with leading(shard):
        both = [start(programs, "twin") for _ in range(2)]
        await eventually(lambda: any(worker.ended() for worker in both))
        codes = {worker.code for worker in both if worker.ended()}
        assert codes == {6}
        assert any("use another name" in worker.output for worker in both)
