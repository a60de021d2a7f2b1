"""Processes come back as the other version, one by one, forth and back, while the rest goes on."""

from __future__ import annotations

import time

from tests.chaos.faults.schedulers import until_all_serve
from tests.chaos.faults.servers import moving_again
from tests.chaos.options import Stuck
from tests.chaos.processes import ROOT, Process
from tests.chaos.stage import Stage
from tests.chaos.versions import ADDED

FLUSH_SHARE = 0.2  # of the faults: the functions are gone at the same time, and both versions load theirs
SCHEDULER_SHARE = 0.6
KILL_SHARE = 0.5  # of leaders: they leave no snapshot behind their last turn


async def change_one(stage: Stage) -> float | None:
    """A scheduler or a worker is told to end, a leader killed at times, and started as the other version.

    Gives how long it took until tasks were placed again; in a new epoch if it was the leader.
    """
    await until_all_serve(stage)
    leader = await stage.the_leader()
    if stage.random.random() < FLUSH_SHARE:
        await stage.server.call("FUNCTION", "FLUSH")
    if stage.observer.epoch == 1:  # so that both versions lead, however few faults are asked for
        return await _change_scheduler(stage, leader, leader)
    if stage.random.random() < SCHEDULER_SHARE:
        return await _change_scheduler(stage, stage.random.choice(stage.schedulers), leader)
    worker = stage.random.choice(stage.workers)
    await worker.terminate()
    is_next = _turn_over(stage, worker)
    worker.start()
    await stage.until_ready()
    offer = await stage.server.call("HGET", stage.keys.key(b"w:" + worker.name.encode()), "f")
    if (ADDED.encode() in offer) != is_next:
        raise Stuck(f"{worker.name} does not run the version that it was started as")
    return await moving_again(stage)


async def _change_scheduler(stage: Stage, scheduler: Process, leader: Process) -> float:
    began_s, epoch = time.monotonic(), stage.observer.epoch
    if scheduler is leader and stage.random.random() < KILL_SHARE:
        scheduler.kill()
    elif (code := await scheduler.terminate()) != 0:
        raise Stuck(f"{scheduler.name} ended with {code}: {scheduler.output[-2_000:]}")
    _turn_over(stage, scheduler)
    scheduler.start()
    if scheduler is not leader:
        return await moving_again(stage)
    await stage.dispatching_again(stage.observer.seq, epoch + 1)
    return time.monotonic() - began_s


def _turn_over(stage: Stage, process: Process) -> bool:
    """Let its next life be of the other version; gives whether that is the next one."""
    assert stage.next_tree is not None, "the stage has one version"
    is_next = process.environment["PYTHONPATH"] == str(stage.next_tree)
    process.environment["PYTHONPATH"] = str(ROOT if is_next else stage.next_tree)
    return not is_next
