"""The network loses replies, is slow, damages frames, or parts the processes from the server."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.faults.servers import moving_again
from tests.chaos.proxy import Proxy
from tests.chaos.stage import Stage

WAIT_S_MAX = 2.0
DELAY_S_MIN, DELAY_S_MAX = 0.05, 0.3
SLOW_S = 2.0
HELD_S_MIN, HELD_S_MAX = 0.5, 7.0  # a worker counts as gone after five
STEP_S_MAX = 1.0
POLL_S = 0.01


async def drop_replies(stage: Stage) -> float | None:
    """The next reply to each of some processes is lost, and its connection with it."""
    return await _brief(stage, "replies_to_drop")


async def damage_frames(stage: Stage) -> float | None:
    """The next frame from or to each of some processes begins with a byte that begins none."""
    return await _brief(stage, "frames_to_damage")


async def _brief(stage: Stage, what: str) -> float | None:
    struck = _some(stage)
    touched = {name: stage.proxies[name].touched for name in struck}
    for name in struck:
        setattr(stage.proxies[name], what, stage.random.randint(1, 3))
    give_up_at_s = time.monotonic() + WAIT_S_MAX
    while any(getattr(stage.proxies[name], what) for name in struck) and time.monotonic() < give_up_at_s:
        await asyncio.sleep(POLL_S)
    for name in struck:
        stage.proxies[name].heal()
    span_s = await moving_again(stage)
    return span_s if any(stage.proxies[name].touched > touched[name] for name in struck) else None


async def delay(stage: Stage) -> float | None:
    """All is slow for a while, each way by another time."""
    touched = _touched(stage)
    for proxy in stage.proxies.values():
        proxy.delay_s = stage.random.uniform(DELAY_S_MIN, DELAY_S_MAX)
    await asyncio.sleep(SLOW_S)
    return await _healed(stage, touched)


async def part(stage: Stage) -> float | None:
    """One process is cut off for a while; what it sent meanwhile arrives late."""
    touched = _touched(stage)
    leader = await stage.the_leader()
    name = stage.random.choice([leader.name, leader.name, *stage.proxies])
    _excuse(stage, name)
    stage.proxies[name].hold()
    await stage.pause(HELD_S_MIN, HELD_S_MAX)
    return await _healed(stage, touched)


async def swizzle(stage: Stage) -> float | None:
    """Some processes are cut off one after another, and come back in another order."""
    touched = _touched(stage)
    names = _some(stage)
    for name in names:
        _excuse(stage, name)
        stage.proxies[name].hold()
        await stage.pause(0.0, STEP_S_MAX)
    for name in stage.random.sample(names, len(names)):
        stage.proxies[name].heal()
        await stage.pause(0.0, STEP_S_MAX)
    return await _healed(stage, touched)


async def _healed(stage: Stage, touched: int) -> float | None:
    for proxy in stage.proxies.values():
        proxy.heal()
    span_s = await moving_again(stage)
    return span_s if _touched(stage) > touched else None


def _some(stage: Stage) -> list[str]:
    names = list(stage.proxies)
    return stage.random.sample(names, stage.random.randint(1, len(names)))


def _touched(stage: Stage) -> int:
    proxies: list[Proxy] = list(stage.proxies.values())
    return sum(proxy.touched for proxy in proxies)


def _excuse(stage: Stage, name: str) -> None:
    """A worker that is cut off for long is given up, and what it runs may run again."""
    stage.victims |= {worker.pid for worker in stage.workers if worker.name == name}
