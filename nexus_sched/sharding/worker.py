"""A worker's side of a whole pool: it finds its shard, stays there, and from then on is a worker of that shard.

Laws of this file:
  1. A worker belongs to one shard for as long as its process lives. One that comes back under its name gets its former
     place, and with it what it had not started; where it has none, it goes where slots are fewest.
  2. The shards of a pool have to be settled before a worker can choose: until then it waits for a scheduler. A pool
     that was led before there were several shards has one.
  3. Places are accounting: a store that forgets them costs even numbers, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence

from nexus_sched.errors import StoreError, StoreUnreachable
from nexus_sched.runtime.pool_ports import Placement, PoolStore
from nexus_sched.runtime.ports import CompletionLine, InboxItem, StartLine, StepReply, WorkerStore
from nexus_sched.sharding.hashing import order_for


class PoolUnsettled(StoreUnreachable):
    """No scheduler has served this pool yet, so nobody knows where its workers belong. Passes with the first one."""

    code = "POOL_UNSETTLED"


class PoolWorkerStore:
    """`WorkerStore` over all shards of a pool, for one worker.

    Parameters
    ----------
    pool
        What is known of the pool, not opened yet.
    make
        Makes the store of a shard, not opened yet.
    was_led
        Whether a scheduler has ever led shard 0.
    slots
        Of the worker.
    shard
        Where it is placed by hand, `None` to find a place.
    wanted
        The number of shards, if the configuration says it; settles it where nobody has.
    """

    def __init__(
        self,
        pool: PoolStore,
        make: Callable[[int], WorkerStore],
        was_led: Callable[[], Awaitable[bool]],
        *,
        slots: int,
        shard: int | None = None,
        wanted: int | None = None,
    ) -> None:
        self._pool = pool
        self._make = make
        self._was_led = was_led
        self._slots = slots
        self._shard = shard
        self._wanted = wanted
        self._count = 0  # of shards, once it is known
        self._store: WorkerStore | None = None

    async def open(self) -> None:
        """Learn how many shards there are. Raises `PoolUnsettled` as long as nobody can know."""
        await self._pool.open()
        try:
            settled = await (self._pool.shards() if self._wanted is None else self._pool.settle(self._wanted))
            if not settled.count and self._shard is None and not await self._was_led():
                raise PoolUnsettled("no scheduler has served this pool yet: start one with `nexus-sched run`")
        finally:
            await self._pool.close()
        self._count = settled.count or 1
        if self._count == 1 or self._shard is not None:
            await self._opened(self._shard or 0)

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._pool.close()
        if self._store is not None:
            await self._store.close()

    async def register(self, worker: str, offer: bytes) -> int:
        """Find a place, or say again which it is; then announce a new incarnation there and get its number."""
        if self._count > 1:
            await self._pool.open()
            try:
                order = order_for(worker, self._count)
                self._shard = await self._pool.place(worker, self._slots, order, self._shard)
            finally:
                await self._pool.close()
        store = await self._opened(self._shard or 0)
        return await store.register(worker, offer)

    async def step(
        self,
        worker: str,
        incarnation: int,
        report: bytes,
        completions: Sequence[CompletionLine],
        starts: Sequence[StartLine],
    ) -> StepReply:
        """Results, next starts and heartbeat in one call. Raises `Fenced`: register again."""
        return await self._registered().step(worker, incarnation, report, completions, starts)

    async def leave(self, worker: str, incarnation: int) -> int:
        """Say good-bye, and give the place back; what is still in the inbox is reclaimed. Gives how many."""
        reclaimed = await self._registered().leave(worker, incarnation)
        if self._count > 1 and self._shard is not None:
            with contextlib.suppress(StoreError):  # the leader of the shard strikes it off later
                await self._pool.open()
                await self._pool.displace({worker: Placement(self._shard, self._slots)})
        return reclaimed

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> list[InboxItem]:
        """Entries behind `after` ("0-0" for all). Waits up to `block_ms` for the first one."""
        return await self._registered().read_inbox(worker, after, count, block_ms)

    def _registered(self) -> WorkerStore:
        assert self._store is not None, "a worker registers before it does anything else"
        return self._store

    async def _opened(self, shard: int) -> WorkerStore:
        if self._store is None:
            store = self._make(shard)
            try:
                await store.open()
            except BaseException:
                await store.close()
                raise
            self._store, self._shard = store, shard
        return self._store
