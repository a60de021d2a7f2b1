"""Tasks in child processes: kept, killed at their time-out, replaced after they died, gone with the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.worker import App
from tests.unit.worker.bench import Desk, FaultyStore, eventually, serving
from tests.unit.worker.tasks import app


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def run(desk: Desk, name: str, *args: object, **options: object) -> str:
    task_id = await desk.give(name, *args, **options)
    await desk.ended(task_id)
    return task_id


async def test_process_is_another_one_and_is_kept_for_the_next_call(desk: Desk):
    async with serving(app, FaultyStore(desk.shard)):
        first, second = [desk.value(await run(desk, "process_id")) for _ in range(2)]
        assert first == second != os.getpid()
        assert is_alive(first)
    assert not is_alive(first)


async def test_arguments_results_and_errors_cross_the_border(desk: Desk):
    async with serving(app, FaultyStore(desk.shard)):
        assert desk.value(await run(desk, "divide", 1, 2)) == 0.5
        failed = await run(desk, "divide", 1, 0)
        assert desk.error(failed).startswith("ZeroDivisionError: division by zero (tasks.py:")
        rejected = await run(desk, "divide", "one", 2)
        assert "argument a: Expected `int`" in desk.error(rejected)
        assert desk.facts(rejected)[0].outcome.value == "rejected"


async def test_what_a_run_uses_is_measured_apart_from_the_runs_before_it(desk: Desk):
    async with serving(app, FaultyStore(desk.shard), slots=1):
        before, large, after, busy = [
            desk.facts(await run(desk, name, amount))[0]
            for name, amount in (("hold", 1), ("hold", 200), ("hold", 1), ("compute", 60.0))
        ]
    assert large.memory_bytes - before.memory_bytes > 150 * 2**20
    assert after.memory_bytes < before.memory_bytes + 50 * 2**20
    assert 60.0 <= busy.cpu_ms <= busy.run_ms * 1.05


async def test_process_is_killed_at_the_timeout_and_replaced(desk: Desk):
    async with serving(app, FaultyStore(desk.shard), slots=1):
        before = desk.value(await run(desk, "process_id"))
        stuck = await run(desk, "stuck")
        assert desk.facts(stuck)[0].outcome.value == "timed-out"
        assert desk.error(stuck) == "ran longer than its 300 ms"
        after = desk.value(await run(desk, "process_id"))
    assert before != after
    assert not is_alive(before)


async def test_process_that_dies_fails_its_task_only(desk: Desk):
    async with serving(app, FaultyStore(desk.shard), slots=1):
        dead = await run(desk, "die")
        assert desk.facts(dead)[0].outcome.value == "failed"
        assert desk.error(dead) == "its process was ended by signal 9"
        assert desk.value(await run(desk, "divide", 1, 1)) == 1.0


async def test_cancelled_process_may_end_by_itself_or_is_killed(desk: Desk, monkeypatch):
    monkeypatch.setattr("nexus_sched.worker.executors.CANCEL_GRACE_S", 0.2)
    async with serving(app, FaultyStore(desk.shard), slots=1):
        await run(desk, "divide", 1, 1)  # the process is there, so what follows runs at once
        obedient = await desk.give("obedient")
        await eventually(lambda: desk.state(obedient) == "R")
        await desk.stop(obedient)
        await desk.ended(obedient)
        assert desk.value(obedient) == "stopped"
        deaf = await desk.give("deaf")
        await eventually(lambda: desk.state(deaf) == "R")
        await desk.stop(deaf)
        assert (await desk.ended(deaf)).outcome == "cancelled"


async def test_stopped_worker_leaves_no_process(desk: Desk):
    async with serving(app, FaultyStore(desk.shard), slots=1):
        child = desk.value(await run(desk, "process_id"))
        await desk.give("deaf")
        await eventually(lambda: desk.shard.streams["i:w1"])
    assert not is_alive(child)


def test_child_ends_when_its_worker_is_killed(root: Path):
    program = textwrap.dedent(
        """
        import asyncio, sys
        from nexus_sched.worker.processes import ProcessPool
        from tests.unit.worker.tasks import app

        async def main():
            child = await ProcessPool(app.resolve().values()).take()
            ending = await child.call("process_id", "msgpack", b"", ("t", 1, None, None))
            print(int.from_bytes(ending.result[1:], "big"), flush=True)
            await child.call("deaf", "msgpack", b"", ("t", 1, None, None))

        asyncio.run(main())
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        assert is_alive(child)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    give_up_at = time.monotonic() + 10.0
    while is_alive(child) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert not is_alive(child)


def test_function_that_no_process_can_import_is_refused_at_the_start():
    local = App()

    @local.task(run_in="process")
    def inner() -> None: ...

    with pytest.raises(InvalidInput, match="must be importable"):
        local.resolve()
