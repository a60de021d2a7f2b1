"""What a scheduler does about a pool before it serves any shard of it, and while it leads one.

Laws of this file:
  1. The number of shards is settled when a pool is first served, and never changes: the shard of a task follows from
     it, and so does whether its id is recognised. A configuration that wants another number is refused. Whoever leads
     says it again, because a store may forget it: who comes then would not find where tasks go.
  2. Where workers are is accounting that may be wrong for a while. The leader of a shard strikes off whoever is neither
     live there now nor was a while ago; whoever registers, or sees that it is not entered, is entered again.
  3. A shard without any worker would wait for ever, as workers stay where they are. Its leader gives a place there to
     one of a shard that has several, which moves when it has nothing to do (`sharding.moves`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from nexus_sched.errors import ShardsDiffer, StoreError
from nexus_sched.model.replica import ShardId
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
    if wanted is not None:
        _compare(name, count, wanted)
    return count


def _compare(name: str, count: int, wanted: int) -> None:
    if wanted != count:
        raise ShardsDiffer(
            f"pool {name!r} has {_shards(count)}, and the configuration splits it into {wanted}. The number stays what "
            f"it was when the pool was first served, because tasks are found by it: write shards = {count}, or give a "
            f"pool with {_shards(wanted)} another name, let workers and submitters move over, and let this one drain"
        )


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


async def tidy_places(pool: PoolStore, leader: LeaderStore, shard: ShardId, count: int) -> None:
    """Strike off who has no place in a shard any more, and send for a worker if it has none, until cancelled.

    The pool has `count` shards, and is told so first. Raises `ShardsDiffer` if it was settled otherwise meanwhile.
    """
    missing: dict[str, Placement] = {}
    sent_for = 0
    while True:
        with contextlib.suppress(StoreError):
            _compare(shard.pool, (await pool.settle(count)).count, count)
        await asyncio.sleep(LOOK_EVERY_S)
        with contextlib.suppress(StoreError):
            placements = await pool.placements()
            placed = {worker: at for worker, at in placements.items() if at.shard == shard.number}
            live = await leader.heartbeats()
            gone = {worker: at for worker, at in placed.items() if worker not in live}
            struck = {worker: at for worker, at in gone.items() if missing.get(worker) == at}
            await pool.displace(struck)
            missing = gone
            if not live and placed.keys() == struck.keys() and (others := _from_the_fullest(placements)):
                worker, slots = others[sent_for % len(others)]  # another one each time: it may have too much to do
                await pool.place(worker, slots, [shard.number], shard.number)
                sent_for += 1


def _from_the_fullest(placements: Mapping[str, Placement]) -> list[tuple[str, int]]:
    """The workers, with their slots, of the shard with most slots among those that have several workers."""
    by_shard: dict[int, list[tuple[str, int]]] = {}
    for worker, at in sorted(placements.items()):
        by_shard.setdefault(at.shard, []).append((worker, at.slots))
    several = [workers for _, workers in sorted(by_shard.items()) if len(workers) > 1]
    return max(several, key=lambda workers: sum(slots for _, slots in workers), default=[])
