"""What a scheduler does about a pool before it serves any shard of it, and while it leads one.

Laws of this file:
  1. The number of shards is settled when a pool is first served, and never changes: the shard of a task follows from
     it, and so does whether its id is recognised. A configuration that wants another number is refused.
  2. Where workers are is accounting that may be wrong for a while. The leader of a shard strikes off whoever is neither
     live there now nor was a while ago; whoever registers is entered again.
"""

from __future__ import annotations

import asyncio
import contextlib

from nexus_sched.errors import ShardsDiffer, StoreError
from nexus_sched.runtime.pool_ports import Placement, PoolStore
from nexus_sched.runtime.ports import LeaderStore

LOOK_EVERY_S = 5.0


async def settle_shards(pool: PoolStore, first: LeaderStore, name: str, wanted: int | None) -> int:
    """The number of shards of a pool, settled now if it never was; `first` is the store of its shard 0, unopened.

    Raises `ShardsDiffer` if it is not the number that is wanted.
    """
    count = (await pool.shards()).count
    if not count:
        count = (await pool.settle(1 if await _was_led(first, wanted) else wanted or 1)).count
    if wanted is not None and wanted != count:
        raise ShardsDiffer(
            f"pool {name!r} has {_shards(count)}, and the configuration splits it into {wanted}. The number stays what "
            f"it was when the pool was first served, because tasks are found by it: write shards = {count}, or give a "
            f"pool with {_shards(wanted)} another name, let workers and submitters move over, and let this one drain"
        )
    return count


async def _was_led(first: LeaderStore, wanted: int | None) -> bool:
    """Whether a scheduler of before there were several shards has led this pool: then it has one."""
    if wanted is None or wanted == 1:
        return False
    try:
        await first.open()
        return await first.sequence() is not None
    finally:
        await first.close()


def _shards(count: int) -> str:
    return "1 shard" if count == 1 else f"{count} shards"


async def tidy_places(pool: PoolStore, leader: LeaderStore, shard: int) -> None:
    """Strike off who has no place in a shard any more, now and then, until cancelled."""
    missing: dict[str, Placement] = {}
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        with contextlib.suppress(StoreError):
            placed = {worker: at for worker, at in (await pool.placements()).items() if at.shard == shard}
            live = await leader.heartbeats()
            gone = {worker: at for worker, at in placed.items() if worker not in live}
            await pool.displace({worker: at for worker, at in gone.items() if missing.get(worker) == at})
            missing = gone
