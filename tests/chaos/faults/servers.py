"""The server dies, loses its power, its functions, its disk, its memory, its role, or everything it held."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from nexus_sched.errors import StateLost, StoreError
from tests.chaos.faults.schedulers import until_all_serve
from tests.chaos.options import Stuck
from tests.chaos.server import Server
from tests.chaos.stage import Stage

DOWN_S_MIN, DOWN_S_MAX = 0.0, 1.0
SCARCE_S_MIN, SCARCE_S_MAX = 1.0, 2.0
MEMORY = "1mb"
STATE_LOST_TIMEOUT_S = 15.0
FAILOVER_TIMEOUT_S = 10.0
NOWHERE = ("127.0.0.1", 1)
STALE_S_MIN, STALE_S_MAX = 0.2, 1.0
READ_ONLY_S = 0.5  # how long everybody still speaks to the former primary
TORN = "truncat"  # what a server says about an append-only file that ends in the middle
KNOWN_S_MIN, KNOWN_S_MAX = 0.5, 1.5  # one that never saw the shard cannot know what it held
EMPTY = "is empty now"  # and how a scheduler says that everything is gone
POLL_S = 0.02


async def kill(stage: Stage) -> float | None:
    """kill -9, and a restart on what it wrote."""
    return await _down(stage, lambda: None)


async def power_cut(stage: Stage) -> float | None:
    """kill -9, and what it had not synced is gone from its disk."""

    def cut() -> None:
        stage.unsynced_bytes += stage.server.disk.power_cut()

    return await _down(stage, cut)


async def tear(stage: Stage) -> float | None:
    """kill -9 in the middle of a write: half a command stands at the end of its file."""
    said = stage.server.process.output.lower().count(TORN)
    span_s = await _down(stage, stage.server.disk.tear)
    return span_s if stage.server.process.output.lower().count(TORN) > said else None


async def _down(stage: Stage, meanwhile: Callable[[], object]) -> float | None:
    struck = stage.server.kill()
    meanwhile()
    await stage.pause(DOWN_S_MIN, DOWN_S_MAX)
    await stage.server.start()
    span_s = await moving_again(stage)
    return span_s if struck else None


async def moving_again(stage: Stage) -> float:
    """From now on, with the observer's copy brought up to what the store holds."""
    began_s, after = time.monotonic(), await stage.seq()
    await stage.observer.catch_up()
    await stage.dispatching_again(after, 0)
    return time.monotonic() - began_s


async def flush_functions(stage: Stage) -> float | None:
    """FUNCTION FLUSH."""
    await stage.server.call("FUNCTION", "FLUSH")
    return await moving_again(stage)


async def fill_memory(stage: Stage) -> float | None:
    """No memory is left for a while: submissions are refused, what is there is worked off."""
    refused = stage.refusals().count("STORE_OUT_OF_MEMORY")
    await stage.server.call("CONFIG", "SET", "maxmemory", MEMORY)
    await stage.pause(SCARCE_S_MIN, SCARCE_S_MAX)
    await stage.server.call("CONFIG", "SET", "maxmemory", "0")
    span_s = await moving_again(stage)
    return span_s if stage.refusals().count("STORE_OUT_OF_MEMORY") > refused else None


async def fill_disk(stage: Stage) -> float | None:
    """No space is left for a while: a server that syncs always ends itself, another one refuses writes."""
    refused = stage.refusals().count("STORE_NOT_PERSISTING")
    stage.server.disk.fill()
    await stage.pause(SCARCE_S_MIN, SCARCE_S_MAX)
    stage.server.disk.free()
    ended = not stage.server.process.alive
    if ended:
        await stage.server.start()
    span_s = await moving_again(stage)
    return span_s if ended or stage.refusals().count("STORE_NOT_PERSISTING") > refused else None


async def fail_over(stage: Stage) -> float | None:
    """The replica is promoted in order (FAILOVER); everybody speaks to the former primary for a while."""
    promoted, demoted = stage.replica, stage.server
    assert promoted is not None, "the stage has no replica"
    await demoted.call("FAILOVER")
    give_up_at_s = time.monotonic() + FAILOVER_TIMEOUT_S
    while (await promoted.facts("replication")).get("role") != "master":
        if time.monotonic() > give_up_at_s:
            raise Stuck("the replica is not promoted")
        await asyncio.sleep(POLL_S)
    return await _move(stage, promoted, demoted, READ_ONLY_S)


async def fail_over_stale(stage: Stage) -> float | None:
    """The primary dies, and a replica that had lost touch before is promoted: what it never got is gone."""
    promoted, demoted = stage.replica, stage.server
    assert promoted is not None, "the stage has no replica"
    await promoted.call("REPLICAOF", *NOWHERE)
    await stage.pause(STALE_S_MIN, STALE_S_MAX)
    demoted.kill()
    await promoted.call("REPLICAOF", "NO", "ONE")
    span_s = await _move(stage, promoted, demoted, 0.0)
    await demoted.start()
    await demoted.follow(promoted)
    return span_s


async def _move(stage: Stage, promoted: Server, demoted: Server, hold_s: float) -> float:
    """Everybody goes over to the promoted server, after `hold_s` with the demoted one."""
    began_s = time.monotonic()
    stage.server, stage.replica = promoted, demoted
    await stage.observer.move(promoted.path)
    await asyncio.sleep(hold_s)
    for proxy in stage.proxies.values():
        proxy.path = promoted.path
        proxy.cut()
    await moving_again(stage)
    return time.monotonic() - began_s


async def flush_all(stage: Stage) -> float | None:
    """FLUSHALL: both schedulers must say that the state is lost, and end; nothing may be begun anew."""
    await until_all_serve(stage)
    await stage.pause(KNOWN_S_MIN, KNOWN_S_MAX)
    began_s = time.monotonic()
    await stage.server.call("FLUSHALL")
    while any(scheduler.alive for scheduler in stage.schedulers):
        with contextlib.suppress(StoreError):
            if int(await stage.server.call("HGET", stage.keys.meta, "seq") or 0) > 0:
                raise Stuck("a scheduler began anew on a shard that had lost everything")
        if time.monotonic() - began_s > STATE_LOST_TIMEOUT_S:
            alive = [scheduler.name for scheduler in stage.schedulers if scheduler.alive]
            raise Stuck(f"{alive} did not say that everything is lost")
        await asyncio.sleep(POLL_S)
    for scheduler in stage.schedulers:
        if scheduler.code != StateLost.exit_code or EMPTY not in scheduler.output:
            raise Stuck(f"{scheduler.name} ended with {scheduler.code}: {scheduler.output[-1_000:]}")
    return time.monotonic() - began_s
