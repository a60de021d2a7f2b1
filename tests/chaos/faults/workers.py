"""Workers die or pause, and a task kills whoever runs it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence

import msgspec

from nexus_sched.model.outcome import Reason
from nexus_sched.model.task import PRIORITY_DEFAULT, TaskSpec
from tests.chaos.options import Stuck
from tests.chaos.processes import Process
from tests.chaos.stage import LENGTH_MAX, Stage

BUSY_TIMEOUT_S = 10.0
SHORT_S, LONG_S = (0.5, 4.0), (6.0, 8.0)  # a worker counts as gone after five
POISON_TIMEOUT_S = 60.0
WORKERS_KILLED_MAX = 3
BURIALS = (Reason.WORKER_KILLER.value, Reason.ATTEMPTS_EXHAUSTED.value)
BYTES_MAX = 2**30
POLL_S = 0.01


async def kill_one(stage: Stage) -> float | None:
    """kill -9 of a worker that runs something."""
    return await _kill(stage, [await _busy(stage)])


async def kill_half(stage: Stage) -> float | None:
    """kill -9 of half the workers at once."""
    return await _kill(stage, stage.random.sample(stage.workers, len(stage.workers) // 2))


async def stop_one(stage: Stage) -> float | None:
    """SIGSTOP of a worker that runs something, for shorter or longer than it takes to count as gone."""
    worker = await _busy(stage)
    stage.victims.add(worker.pid)
    if not worker.signal(signal.SIGSTOP):
        return None
    running = _running(stage, [worker])
    await stage.pause(*stage.random.choice((SHORT_S, LONG_S)))
    began_s = time.monotonic()
    worker.signal(signal.SIGCONT)
    await _elsewhere_or_ended(stage, running, set())
    await stage.until_ready()
    return time.monotonic() - began_s


async def _kill(stage: Stage, workers: Sequence[Process]) -> float | None:
    struck = [worker for worker in workers if worker.alive]
    pids = {worker.pid for worker in struck}
    stage.victims |= pids
    began_s = time.monotonic()
    for worker in struck:
        worker.kill()
    running = _running(stage, struck)
    if not running:
        for worker in struck:
            worker.start()
        return None  # nothing was there to be saved
    await _elsewhere_or_ended(stage, running, pids)
    span_s = time.monotonic() - began_s
    for worker in struck:
        worker.start()
    await stage.until_ready()
    return span_s


def _running(stage: Stage, workers: Sequence[Process]) -> set[str]:
    """Tasks that these processes have begun and not ended, by what they wrote down."""
    pids = {str(worker.pid) for worker in workers}
    own = [line for line in stage.executions() if line[4] in pids]
    return {line[1] for line in own if line[0] == "begin"} - {line[1] for line in own if line[0] == "end"}


async def _busy(stage: Stage) -> Process:
    """Wait for a worker that runs something."""
    give_up_at_s = time.monotonic() + BUSY_TIMEOUT_S
    while time.monotonic() < give_up_at_s:
        for worker in stage.random.sample(stage.workers, len(stage.workers)):
            if worker.alive and _running(stage, [worker]):
                return worker
        await asyncio.sleep(POLL_S)
    raise Stuck("no worker runs anything")


async def _elsewhere_or_ended(stage: Stage, tasks: set[str], dead: set[int]) -> None:
    """Wait until each task was begun by another process, or has ended."""

    async def saved() -> bool:
        begun = {line[1] for line in stage.executions() if line[0] == "begin" and int(line[4]) not in dead}
        left = tasks - begun if dead else tasks
        states = [await stage.server.call("HGET", stage.keys.task(task_id), "s") for task_id in left]
        return all(state in (b"F", b"D", b"C") for state in states)

    await stage.eventually(saved, "tasks of a worker that is gone")


async def poison(stage: Stage) -> float | None:
    """A task that kills its worker: it must be buried after two of them, and after three where many die lately."""
    task_id = f"poison-{stage.random.randrange(2**32)}"
    spec = msgspec.msgpack.encode(TaskSpec(type="poison", max_attempts=WORKERS_KILLED_MAX))
    began_s = time.monotonic()
    bounds = LENGTH_MAX, BYTES_MAX
    head = "FCALL", "nx_submit", 1, stage.keys.meta, stage.keys.prefix, *bounds
    await stage.server.call(*head, "", 1, task_id, PRIORITY_DEFAULT, spec, b"")
    killed = 0
    while time.monotonic() - began_s < POISON_TIMEOUT_S:
        for worker in stage.workers:
            if not worker.alive:
                killed += 1
                stage.victims.add(worker.pid)
                worker.start()
        state, outcome = await stage.server.call("HMGET", stage.keys.task(task_id), "s", "o")
        if state == b"D":
            if outcome.decode() not in BURIALS:
                raise Stuck(f"the task that kills workers was buried as {outcome.decode()}")
            span_s = time.monotonic() - began_s
            await stage.until_ready()
            return span_s if killed else None
        await asyncio.sleep(POLL_S)
    raise Stuck(f"the task that kills workers killed {killed} and is {state!r}")
