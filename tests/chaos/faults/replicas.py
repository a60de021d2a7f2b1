"""Replicas that share several shards die, come back and join, in any order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from tests.chaos.faults.schedulers import SERVING
from tests.chaos.processes import Process
from tests.chaos.stage import Stage

EVEN_S = 20.0  # what is quiet for so long has been shared out anew, as a rule; it need not be for the next fault
KEPT_MIN = 1


async def come_and_go(stage: Stage) -> float | None:
    """kill -9 of any replica while others run; else, or now and then, one that was killed is started again.

    Gives how long it took until every shard was dispatched to again by whoever was left.
    """
    alive = [replica for replica in stage.schedulers if replica.alive]
    gone = [replica for replica in stage.schedulers if not replica.alive]
    if len(alive) > KEPT_MIN and (not gone or stage.random.random() < 0.5):
        return await _kill(stage, stage.random.choice(alive))
    stage.random.choice(gone).start()
    if stage.random.random() < 0.5:
        await _until_even(stage)
    return None


async def _kill(stage: Stage, replica: Process) -> float:
    await stage.eventually(lambda: _serves(replica), f"{replica.name} to serve")
    led = [number for number, owner in enumerate(await stage.leaders()) if owner is replica]
    before = [(observer.seq, observer.epoch) for observer in stage.observers]
    began_s = time.monotonic()
    replica.kill()
    for number in led:
        await stage.dispatching_again(before[number][0], before[number][1] + 1, shard=number)
    return time.monotonic() - began_s


async def _serves(replica: Process) -> bool:
    """Whether its newest life has said that it serves."""
    return replica.output.count(SERVING) == len(replica.pids)


async def _until_even(stage: Stage) -> None:
    """Wait until the shards are shared evenly, or for a while: fewer shards than replicas need not move."""
    give_up_at_s = time.monotonic() + EVEN_S
    while time.monotonic() < give_up_at_s:
        leads = Counter(owner.name for owner in await stage.leaders() if owner is not None)
        counts = [leads[replica.name] for replica in stage.schedulers if replica.alive]
        if sum(counts) == len(stage.observers) and max(counts) - min(counts) <= 1:
            return
        await asyncio.sleep(0.2)
