"""The lease: taken when it is free or has stood still on our own clock, trusted no longer than it was renewed."""

from __future__ import annotations

import asyncio

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.errors import Fenced, StoreUnreachable
from nexus_sched.runtime.beats import Beats
from nexus_sched.runtime.ownership import Ownership
from nexus_sched.runtime.ports import Lease
from nexus_sched.testing.virtual_time import LoopClock, virtually

LEASE_MS = 3_000


class Flaky(MemoryLeaderStore):
    """Cannot renew while `down`."""

    down = False

    async def renew(self, lease: Lease) -> None:
        if self.down:
            raise StoreUnreachable("broken on purpose")
        await super().renew(lease)


def ownership(store: MemoryLeaderStore, owner: str) -> Ownership:
    return Ownership(store, LoopClock(), owner, LEASE_MS)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_free_lease_is_taken_at_once():
    async def story():
        lease = await ownership(MemoryLeaderStore(MemoryShard()), "a").acquire()
        assert (lease.epoch, lease.owner, lease.seq, now_s()) == (1, "a", 0, 0.0)

    virtually(story())


def test_lease_of_a_dead_leader_is_taken_after_a_lease_time_on_our_clock():
    async def story():
        store = MemoryLeaderStore(MemoryShard())
        await ownership(store, "a").acquire()
        await asyncio.sleep(100)  # how long it was dead before we looked does not count
        lease = await ownership(store, "b").acquire()
        assert lease.epoch == 2
        assert 103.0 <= now_s() <= 103.5

    virtually(story())


def test_lease_that_is_renewed_is_never_taken():
    async def story():
        store = MemoryLeaderStore(MemoryShard())
        first = ownership(store, "a")
        keeper = asyncio.ensure_future(first.keep(await first.acquire()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ownership(store, "b").acquire(), 60)
        keeper.cancel()
        lease = await ownership(store, "b").acquire()
        assert lease.epoch == 2
        assert 63.0 <= now_s() <= 64.5

    virtually(story())


def test_released_lease_is_taken_at_the_next_look():
    async def story():
        store = MemoryLeaderStore(MemoryShard())
        lease = await ownership(store, "a").acquire()
        waiting = asyncio.ensure_future(ownership(store, "b").acquire())
        await asyncio.sleep(1)
        await store.release(lease)
        await waiting
        assert now_s() <= 1.0 + LEASE_MS / 1_000 / 12

    virtually(story())


def test_lease_that_somebody_else_took_is_lost_at_the_next_renewal():
    async def story():
        store = MemoryLeaderStore(MemoryShard())
        first = ownership(store, "a")
        keeper = asyncio.ensure_future(first.keep(await first.acquire()))
        store.shard.owner = ""
        await ownership(store, "b").acquire()
        with pytest.raises(Fenced):
            await keeper
        assert now_s() <= LEASE_MS / 1_000 / 4 + 0.01

    virtually(story())


def test_lease_is_not_trusted_longer_than_it_was_renewed_less_a_margin():
    async def story():
        store = Flaky(MemoryShard())
        first = ownership(store, "a")
        keeper = asyncio.ensure_future(first.keep(await first.acquire()))
        await asyncio.sleep(30)
        store.down = True
        with pytest.raises(Fenced, match="in time"):
            await keeper
        # last renewed at 30 s at the latest, trusted for three quarters of 3 s
        assert 31.5 <= now_s() <= 33.0

    virtually(story())


def test_short_failure_of_the_store_does_not_end_a_lease():
    async def story():
        store = Flaky(MemoryShard())
        first = ownership(store, "a")
        keeper = asyncio.ensure_future(first.keep(await first.acquire()))
        await asyncio.sleep(30)
        store.down = True
        await asyncio.sleep(1)
        store.down = False
        await asyncio.sleep(30)
        assert not keeper.done()
        keeper.cancel()

    virtually(story())


def test_pause_is_noticed_before_the_next_write_and_harmless_if_nobody_took_over():
    async def story():
        store = Flaky(MemoryShard())
        first = ownership(store, "a")
        lease = await first.acquire()
        store.down = True
        await first.confirm(lease)  # trusted still: nobody is asked
        await asyncio.sleep(2.3)
        with pytest.raises(StoreUnreachable):
            await first.confirm(lease)
        store.down = False
        await first.confirm(lease)
        assert store.shard.renewals == 1
        await ownership(store, "b").acquire()
        assert now_s() >= 2.3 + 3.0
        with pytest.raises(Fenced):
            await first.confirm(lease)

    virtually(story())


def test_lease_of_a_holder_that_is_proven_dead_is_taken_at_once():
    async def story():
        store = MemoryLeaderStore(MemoryShard())
        alive = {"a", "b"}
        first = await ownership(store, "a").acquire()
        other = Ownership(store, LoopClock(), "b", LEASE_MS, lambda owner: owner not in alive)
        waiting = asyncio.ensure_future(other.acquire())
        await asyncio.sleep(1)
        assert not waiting.done()
        alive.remove("a")
        lease = await waiting
        assert (lease.epoch, lease.owner) == (2, "b")
        assert now_s() <= 1.0 + LEASE_MS / 1_000 / 12 + 0.01
        with pytest.raises(Fenced):
            await store.renew(first)

    virtually(story())


def test_wrong_proof_takes_no_lease_that_changed_since_it_was_seen():
    async def story():
        store = MemoryLeaderStore(MemoryShard())
        lease = await ownership(store, "a").acquire()

        def wrongly(owner: str) -> bool:
            store.shard.renew(lease)  # as if it came right between the look and the attempt
            return True

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Ownership(store, LoopClock(), "b", LEASE_MS, wrongly).acquire(), 10)

    virtually(story())


def test_whoever_counts_silence_is_told_whether_the_store_takes_writes():
    class Told(Beats):
        def __init__(self) -> None:
            super().__init__(1.0)
            self.said: list[str] = []

        def refused(self) -> None:
            self.said.append("refused")

        def taken(self) -> None:
            self.said.append("taken")

    async def story():
        store, beats = Flaky(MemoryShard()), Told()
        held = Ownership(store, LoopClock(), "a", LEASE_MS, beats=beats)
        keeper = asyncio.ensure_future(held.keep(await held.acquire()))
        store.down = True
        await asyncio.sleep(LEASE_MS / 4_000 + 0.1)
        store.down = False
        await asyncio.sleep(LEASE_MS / 4_000)
        keeper.cancel()
        assert beats.said == ["taken", "refused", "taken"]

    virtually(story())
