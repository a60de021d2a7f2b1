"""Schedulers die, pause, or are restarted in order."""

from __future__ import annotations

import asyncio
import signal
import time

from tests.chaos.options import LEASE_S
from tests.chaos.processes import Process
from tests.chaos.stage import Stage

SERVING = "Scheduling pool"  # what a scheduler prints in each of its lives, once its store is open


async def kill_and_restart(stage: Stage) -> float | None:
    """kill -9 of the leader; it is started again at once, and whoever is first leads."""
    await until_all_serve(stage)
    leader = await stage.the_leader()
    began_s = time.monotonic()
    if not leader.kill():
        return None
    after, epoch = await stage.seq(), stage.observer.epoch
    leader.start()
    await stage.dispatching_again(after, epoch + 1)
    return time.monotonic() - began_s


async def kill(stage: Stage) -> float | None:
    """kill -9 of the leader; the standby must take over before it is started again."""
    await until_all_serve(stage)
    leader = await stage.the_leader()
    began_s = time.monotonic()
    if not leader.kill():
        return None
    after, epoch = await stage.seq(), stage.observer.epoch
    try:
        await stage.dispatching_again(after, epoch + 1)
        return time.monotonic() - began_s
    finally:
        leader.start()


async def stop(stage: Stage) -> float | None:
    """SIGSTOP of the leader until another one leads; then it wakes up in the belief that it leads."""
    await until_all_serve(stage)
    leader = await stage.the_leader()
    began_s = time.monotonic()
    if not leader.signal(signal.SIGSTOP):
        return None
    after, epoch = await stage.seq(), stage.observer.epoch
    try:
        await stage.dispatching_again(after, epoch + 1)
        span_s = time.monotonic() - began_s
        await stage.pause(0.0, 2 * LEASE_S)
        return span_s
    finally:
        leader.signal(signal.SIGCONT)


async def restart_all(stage: Stage) -> float | None:
    """Every scheduler and every worker is told to end, and started again, one after another."""
    spans_s: list[float] = []
    await until_all_serve(stage)
    for scheduler in stage.schedulers:
        leads = scheduler is await stage.the_leader()
        began_s, epoch = time.monotonic(), stage.observer.epoch
        ending = asyncio.ensure_future(scheduler.terminate())
        if leads:
            await stage.dispatching_again(stage.observer.seq, epoch + 1)
            spans_s.append(time.monotonic() - began_s)
        assert await ending == 0, f"{scheduler.name} does not hand over: {scheduler.output[-2_000:]}"
        scheduler.start()
        await until_all_serve(stage)
    for worker in stage.workers:
        await worker.terminate()
        worker.start()
        await stage.until_ready()
    return max(spans_s) if spans_s else None


async def until_all_serve(stage: Stage) -> None:
    """Wait until each scheduler's newest life leads or stands by."""

    async def serve() -> bool:
        return all(_serves(scheduler) for scheduler in stage.schedulers)

    await stage.eventually(serve, "two schedulers")
    await asyncio.sleep(LEASE_S / 4)  # the standby has to have seen the lease


def _serves(scheduler: Process) -> bool:
    return scheduler.alive and scheduler.output.count(SERVING) == len(scheduler.pids)
