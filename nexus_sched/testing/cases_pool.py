"""What every store of a pool as a whole must do: settle its shards once, place workers evenly, show who is there."""

from __future__ import annotations

import asyncio

from nexus_sched.runtime.pool_ports import Placement, PoolShards
from nexus_sched.testing.conformance import Stage, case

BOTH, EACH = [0, 1], [2, 0, 1]


@case
async def shards_are_settled_once(stage: Stage) -> None:
    """Whoever comes first says how many; later wishes change nothing, and looking leaves no trace."""
    pool, other = stage.factory.pool(), stage.factory.pool()
    await pool.open()
    await other.open()
    before = await pool.shards()
    if before.count == 0:  # the submitter of a whole pool has settled it at its start
        assert before == PoolShards(0, early=False)
        assert await other.settle(3) == PoolShards(3, early=False)
    settled = await pool.shards()
    assert await pool.settle(5) == settled == await pool.settle(None)
    await pool.close()
    await other.close()


@case
async def workers_go_where_slots_are_fewest(stage: Stage) -> None:
    """A worker goes to the shard with the fewest slots, the first in its order among equals, and stays there."""
    pool = stage.factory.pool()
    await pool.open()
    assert await pool.place("a", 4, EACH) == 2
    assert await pool.place("b", 1, EACH) == 0
    assert await pool.place("c", 1, [1, 0, 2]) == 1
    assert await pool.place("d", 1, EACH) == 0
    assert await pool.place("e", 1, EACH) == 1
    assert await pool.place("a", 1, EACH) == 2  # where it was, although it is smaller now
    assert await pool.place("f", 1, EACH) == 2
    assert await pool.placed("a") == 2
    assert await pool.placed("nobody") is None
    assert (await pool.placements())["a"] == Placement(2, 1)
    await pool.close()


@case
async def worker_that_is_somewhere_says_so(stage: Stage) -> None:
    """What a worker holds wins over what was known of it; a place that is not offered any more is left."""
    pool = stage.factory.pool()
    await pool.open()
    assert await pool.place("a", 2, BOTH, held=1) == 1
    assert await pool.place("a", 2, BOTH, held=0) == 0
    assert await pool.place("a", 2, [1]) == 1
    await pool.close()


@case
async def workers_that_come_together_spread(stage: Stage) -> None:
    """However many ask at once, no shard gets two workers more than another."""
    pool = stage.factory.pool()
    await pool.open()
    shards = await asyncio.gather(*(pool.place(f"w-{number}", 2, EACH) for number in range(10)))
    assert sorted(shards.count(shard) for shard in EACH) == [3, 3, 4]
    await pool.close()


@case
async def worker_is_displaced_only_as_it_was_seen(stage: Stage) -> None:
    """Whoever has come back since it was seen keeps its place."""
    pool = stage.factory.pool()
    await pool.open()
    for worker in ("a", "b", "c"):
        await pool.place(worker, 1, BOTH)
    seen = await pool.placements()
    await pool.place("b", 3, BOTH)
    assert await pool.displace(seen) == 2
    assert list(await pool.placements()) == ["b"]
    assert await pool.displace({}) == 0
    await pool.close()


@case
async def replicas_see_what_each_says(stage: Stage) -> None:
    """An announcement is answered with those of all; one that was withdrawn is not among them."""
    registry = stage.factory.registry()
    await registry.open()
    mine = await registry.announce("one", b"1")
    assert mine["one"] == b"1"
    await registry.announce("two", b"\x00\xff")
    assert (await registry.announce("one", b"2")).items() >= {"one": b"2", "two": b"\x00\xff"}.items()
    await registry.withdraw(["one", "nobody"])
    await registry.withdraw([])
    said = await registry.announcements()
    assert "one" not in said
    assert said["two"] == b"\x00\xff"
    await registry.withdraw(["two"])
    await registry.close()
