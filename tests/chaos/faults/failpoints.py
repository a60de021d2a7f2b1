"""A scheduler dies at an exact point: right before the server gets a command, or right after it obeyed.

The points are commands on the wire, so nothing in the scheduler knows of them: its proxy sees a command come by and
kills it. Points of taking over are met by killing the leader while the trap is laid for the standby.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import NamedTuple

from tests.chaos.faults.schedulers import until_all_serve
from tests.chaos.processes import Process
from tests.chaos.proxy import AFTER, BEFORE, Trap
from tests.chaos.stage import Stage

TRAP_TIMEOUT_S = 15.0
LEADING, REAPING, HANDING_OVER = "leading", "reaping", "handing over"
STANDING_BY, TAKING_OVER = "standing by", "taking over"  # the victim is the other scheduler


class Point(NamedTuple):
    """Where a scheduler dies."""

    command: bytes
    side: str
    when: str


COMMANDS = (
    (b"nx_commit", LEADING),
    (b"XREAD", LEADING),
    (b"nx_renew", LEADING),
    (b"SET", LEADING),  # the picture of the state
    (b"ZRANGE", LEADING),  # the heartbeats
    (b"nx_acquire", TAKING_OVER),
    (b"XRANGE", TAKING_OVER),  # the journal
    (b"nx_commit", TAKING_OVER),  # its first turn
    (b"nx_release", HANDING_OVER),
    (b"nx_reap", REAPING),
    (b"XRANGE", STANDING_BY),  # the leader's turns
    (b"nx_offer", STANDING_BY),  # a snapshot
)
POINTS = [Point(command, side, when) for command, when in COMMANDS for side in (BEFORE, AFTER)]


async def strike(stage: Stage, point: Point) -> float | None:
    """Kill a scheduler at `point`."""
    await until_all_serve(stage)
    leader = await stage.the_leader()
    other = next(scheduler for scheduler in stage.schedulers if scheduler is not leader)
    victim = other if point.when in (STANDING_BY, TAKING_OVER) else leader
    trap = Trap(point.command, point.side, victim.kill)
    stage.proxies[victim.name].trap = trap
    try:
        await _provoke(stage, point, leader)
        async with asyncio.timeout(TRAP_TIMEOUT_S):
            await trap.sprung.wait()
    except TimeoutError:
        return None
    finally:
        stage.proxies[victim.name].trap = None
        began_s, after = time.monotonic(), await stage.seq()
        for scheduler in stage.schedulers:
            if not scheduler.alive:
                scheduler.start()
    await stage.dispatching_again(after, 0)
    span_s = time.monotonic() - began_s
    for worker in stage.workers:
        if not worker.alive:
            worker.start()
    await stage.until_ready()
    return span_s


async def _provoke(stage: Stage, point: Point, leader: Process) -> None:
    """Bring about that the point is passed."""
    if point.when == TAKING_OVER:
        leader.kill()
    elif point.when == HANDING_OVER:
        leader.signal(signal.SIGTERM)
    elif point.when == REAPING:
        worker = stage.random.choice(stage.workers)
        stage.victims.add(worker.pid)
        worker.kill()


class Points:
    """All points, one after another."""

    def __init__(self) -> None:
        self._struck = 0

    async def __call__(self, stage: Stage) -> float | None:
        """The next one."""
        point = POINTS[self._struck % len(POINTS)]
        self._struck += 1
        return await strike(stage, point)
