"""The primary dies and its replica is promoted by Sentinels or by the cluster; the server breaks its promises."""

from __future__ import annotations

import asyncio
import time

from nexus_sched.errors import StoreReadOnly
from nexus_sched.model.frame import decode_frame
from tests.chaos.faults.schedulers import until_all_serve
from tests.chaos.faults.servers import NOWHERE, moving_again
from tests.chaos.stage import Stage

READ_ONLY_S_MIN, READ_ONLY_S_MAX = 1.0, 2.0
ROOM = "10gb"  # far from full: the policy is wrong, nothing is evicted yet


async def kill_primary(stage: Stage) -> float | None:
    """kill -9 of the primary; its replica is promoted, everybody has to find it, and the former one comes back."""
    topology, former = stage.topology, stage.server
    assert topology is not None, "the stage has one server"
    await until_all_serve(stage)
    began_s = time.monotonic()
    former.kill()
    promoted = await topology.promoted(former)
    stage.server, stage.replica = promoted, former
    await stage.observer.move(promoted.path)
    restoring = asyncio.ensure_future(topology.restored(former))  # level `replicated` stands still without a replica
    try:
        await moving_again(stage)
        span_s = time.monotonic() - began_s
    finally:
        await restoring
    return span_s


async def read_only(stage: Stage) -> float | None:
    """The server becomes a replica of nobody for a while, and then a primary again."""
    refused = stage.refusals().count(StoreReadOnly.code)
    await stage.server.call("REPLICAOF", *NOWHERE)
    await stage.pause(READ_ONLY_S_MIN, READ_ONLY_S_MAX)
    await stage.server.call("REPLICAOF", "NO", "ONE")
    span_s = await moving_again(stage)
    return span_s if stage.refusals().count(StoreReadOnly.code) > refused else None


async def evict(stage: Stage) -> float | None:
    """An evicting policy is switched on: the alarm must be in the picture, and go again; gives how long it took."""
    began_s = time.monotonic()
    await stage.server.call("CONFIG", "SET", "maxmemory", ROOM, "maxmemory-policy", "allkeys-lru")

    async def is_alarmed() -> bool:
        blob = await stage.server.call("GET", stage.keys.frame)
        return blob is not None and any("allkeys-lru" in alarm for alarm in decode_frame(blob).alarms)

    await stage.eventually(is_alarmed, "an alarm about evictions")
    span_s = time.monotonic() - began_s
    await stage.server.call("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")

    async def is_over() -> bool:
        return not await is_alarmed()

    await stage.eventually(is_over, "an end of the alarm")
    await moving_again(stage)
    return span_s
