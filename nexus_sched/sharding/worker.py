"""The workers' side of a whole pool: each finds its shard, stays there, and from then on is a worker of that shard.

Laws of this file:
  1. A worker stays in its shard, unless one that has no worker sends for it (`moves`). One that comes back under its
     name gets its former place, and with it what it had not started; where it has none, it goes where slots are fewest.
  2. The shards of a pool have to be settled before a worker can choose: until then it waits for a scheduler. A pool
     that was led before there were several shards has one.
  3. Places are accounting: a store that forgets them costs even numbers, and nothing else. Whoever speaks of a worker
     that has no place is told to register it.
  4. One store may serve many workers, as a gateway's does (`shared`). These come by other ways as well, so what it
     remembers of them is a guess: what the pool knows counts, and whoever is fenced is looked for there.
  5. A pool of one shard costs nothing beyond that shard.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from nexus_sched.errors import Fenced, StoreError, StoreUnreachable
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.runtime.pool_ports import Placement, PoolStore
from nexus_sched.runtime.ports import CompletionLine, InboxItem, StartLine, StepReply, WorkerStore
from nexus_sched.sharding.hashing import order_for
from nexus_sched.sharding.moves import Moves

PLACES_MAX = 100_000  # of workers that are remembered; the others are looked up

Answer = TypeVar("Answer")

_decode_offer = msgspec.msgpack.Decoder(WorkerOffer).decode


class PoolUnsettled(StoreUnreachable):
    """No scheduler has served this pool yet, so nobody knows where its workers belong. Passes with the first one."""

    code = "POOL_UNSETTLED"


class PoolWorkerStore:
    """`WorkerStore` over all shards of a pool.

    Parameters
    ----------
    pool
        What is known of the pool, not opened yet.
    make
        Makes the store of a shard, not opened yet.
    was_led
        Whether a scheduler has ever led shard 0.
    shard
        Where workers are placed by hand, `None` for each to find a place.
    wanted
        The number of shards, if the configuration says it; settles it where nobody has.
    shared
        Whether its workers may also come by way of other stores.
    """

    def __init__(
        self,
        pool: PoolStore,
        make: Callable[[int], WorkerStore],
        was_led: Callable[[], Awaitable[bool]],
        *,
        shard: int | None = None,
        wanted: int | None = None,
        shared: bool = False,
    ) -> None:
        self._pool = pool
        self._make = make
        self._was_led = was_led
        self._shard = shard
        self._wanted = wanted
        self._shared = shared
        self._count = 0  # of shards, once it is known
        self._stores: dict[int, WorkerStore] = {}
        self._opening = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._placed: OrderedDict[str, Placement] = OrderedDict()
        self._moves = Moves(pool, self._placed)

    async def open(self) -> None:
        """Learn how many shards there are. Raises `PoolUnsettled` as long as nobody can know."""
        if await self._known() == 1 or self._shard is not None:
            await self._store(self._shard or 0)

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._moves.close()
        await self._pool.close()
        for store in self._stores.values():
            await store.close()

    async def register(self, worker: str, offer: bytes) -> int:
        """Find a place, or say again which it is; then announce a new incarnation there and get its number."""
        count, number = await self._known(), self._shard
        if count > 1:
            slots, former = _slots_of(offer), self._placed.get(worker)
            held = number if former is None else former.shard
            if number is None and self._shared and await self._pool.placed(worker) is not None:
                held = None
            number = await self._pool.place(worker, slots, order_for(worker, count), held)
            self._remember(worker, Placement(number, slots))
            if self._shard is None:
                self._moves.begin()
        return await (await self._store(number or 0)).register(worker, offer)

    async def step(
        self,
        worker: str,
        incarnation: int,
        report: bytes,
        completions: Sequence[CompletionLine],
        starts: Sequence[StartLine],
    ) -> StepReply:
        """Results, next starts and heartbeat in one call. Raises `Fenced`: register again."""
        if (at := self._placed.get(worker)) is not None:
            idle = not (completions or starts)
            await self._moves.step(worker, incarnation, await self._store(at.shard), idle=idle)
        return await self._by(worker, lambda store: store.step(worker, incarnation, report, completions, starts))

    async def leave(self, worker: str, incarnation: int) -> int:
        """Say good-bye, and give the place back; what is still in the inbox is reclaimed. Gives how many."""
        reclaimed = await self._by(worker, lambda store: store.leave(worker, incarnation))
        placement = self._placed.pop(worker, None)
        if placement is not None:
            with contextlib.suppress(StoreError):  # the leader of the shard strikes it off later
                await self._pool.displace({worker: placement})
        return reclaimed

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> list[InboxItem]:
        """Entries behind `after` ("0-0" for all). Waits up to `block_ms` for the first one."""
        store = await self._store(await self.shard_of(worker))
        return await store.read_inbox(worker, after, count, block_ms)

    async def shard_of(self, worker: str) -> int:
        """Where a worker is. Raises `Fenced` if it has no place."""
        if await self._known() == 1 or self._shard is not None:
            return self._shard or 0
        placement = self._placed.get(worker)
        number = await self._pool.placed(worker) if placement is None else placement.shard
        if number is None or number >= self._count:
            raise Fenced(f"worker {worker} has no place in this pool")
        return number

    async def _by(self, worker: str, call: Callable[[WorkerStore], Awaitable[Answer]]) -> Answer:
        """What the worker's shard answers to a call; one that was moved by way of another store is followed."""
        number = await self.shard_of(worker)
        try:
            return await call(await self._store(number))
        except Fenced:
            former = self._placed.get(worker)
            if not self._shared or former is None:
                raise
            moved_to = await self._pool.placed(worker)
            if moved_to is None or moved_to == number:
                raise
            self._remember(worker, Placement(moved_to, former.slots))
        return await call(await self._store(moved_to))

    def _remember(self, worker: str, placement: Placement) -> None:
        self._placed[worker] = placement
        self._placed.move_to_end(worker)
        if len(self._placed) > PLACES_MAX:
            self._placed.popitem(last=False)

    async def _known(self) -> int:
        """How many shards there are. Asked once: who asks closes the connection behind it, where one shard is all."""
        if not self._count:
            async with self._asking:
                self._count = self._count or await self._asked()
        return self._count

    async def _asked(self) -> int:
        await self._pool.open()
        settled = await (self._pool.shards() if self._wanted is None else self._pool.settle(self._wanted))
        if not settled.count and self._shard is None:
            if not await self._was_led():
                await self._pool.close()
                raise PoolUnsettled("no scheduler has served this pool yet: start one with `nexus-sched run`")
            settled = await self._pool.shards()  # settled before it was led, maybe since we asked first
        if settled.count <= 1:
            await self._pool.close()  # there is nothing more to ask
        return settled.count or 1

    async def _store(self, number: int) -> WorkerStore:
        store = self._stores.get(number)
        if store is not None:
            return store
        async with self._opening:
            if number not in self._stores:
                store = self._make(number)
                try:
                    await store.open()
                except BaseException:
                    await store.close()
                    raise
                self._stores[number] = store
            return self._stores[number]


def _slots_of(offer: bytes) -> int:
    """What counts of an offer here; 1 of one that cannot be read, which its leader will refuse."""
    try:
        return _decode_offer(offer).slots
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 1
