"""Reporting for many workers of a whole pool: each is reported to its own shard, in one call a shard.

Laws of this file:
  1. A shard that cannot be reached is nothing to the workers of the others.
  2. What is remembered of a worker's place is a guess: where it is refused, it is looked for once more.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from nexus_sched.errors import StoreError
from nexus_sched.model.worker import PackedReport
from nexus_sched.runtime.pool_ports import PoolStore
from nexus_sched.runtime.ports import ReporterStore

PLACES_MAX = 100_000  # of workers that are remembered; the others are looked up

_encode = msgspec.msgpack.Encoder().encode
_decode_pack = msgspec.msgpack.Decoder(list[PackedReport]).decode


class PoolReporterStore:
    """`ReporterStore` over all shards of a pool.

    Parameters
    ----------
    pool
        What is known of the pool, not opened yet.
    make
        Makes the store of a shard, not opened yet.
    shard
        Where all workers are, `None` if each has a place.
    """

    def __init__(self, pool: PoolStore, make: Callable[[int], ReporterStore], shard: int | None = None) -> None:
        self._pool = pool
        self._make = make
        self._shard = shard
        self._count = 0  # of shards, once it is settled
        self._asking = asyncio.Lock()
        self._stores: dict[int, ReporterStore] = {}
        self._placed: OrderedDict[str, int] = OrderedDict()

    async def open(self) -> None:
        """Learn how many shards there are, as far as anybody knows."""
        await self._known()

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._pool.close()
        for store in self._stores.values():
            await store.close()

    async def report(self, workers: Sequence[tuple[str, int]], pack: bytes) -> list[bool | StoreError]:
        """A sign of life of each worker, and one entry a shard for what those there have to say.

        `False` for each whose incarnation is not the live one, or that has no place: it has to register. An error for
        each whose shard does not answer; raised if none does.
        """
        if await self._known() <= 1 or self._shard is not None:
            return list(await self._store(self._shard or 0).report(workers, pack))
        if not workers:
            return await self._look()
        said = _decode_pack(pack) if pack else []
        answers = await self._spread(workers, said)
        refused = [
            i
            for i, answer in enumerate(answers)
            if answer is False and self._placed.pop(workers[i][0], None) is not None
        ]
        for i, answer in zip(refused, await self._spread([workers[i] for i in refused], said), strict=True):
            answers[i] = answer
        return _unless_all_failed(answers)

    async def _spread(
        self, workers: Sequence[tuple[str, int]], said: Sequence[PackedReport]
    ) -> list[bool | StoreError]:
        """Tell each shard of its own workers."""
        parts: dict[int, list[int]] = {}
        for index, number in enumerate(await asyncio.gather(*(self._place_of(worker) for worker, _ in workers))):
            if number is not None and number < self._count:
                parts.setdefault(number, []).append(index)
        answers: list[bool | StoreError] = [False] * len(workers)
        told = await asyncio.gather(
            *(self._tell(number, [workers[i] for i in part], said) for number, part in parts.items())
        )
        for (number, part), heard in zip(parts.items(), told, strict=True):
            for index, answer in zip(part, heard, strict=True):
                answers[index] = answer
                if answer is True:
                    self._remember(workers[index][0], number)
        return answers

    async def _tell(
        self, number: int, workers: Sequence[tuple[str, int]], said: Sequence[PackedReport]
    ) -> Sequence[bool | StoreError]:
        names = {worker for worker, _ in workers}
        own = [each for each in said if each.worker in names]
        try:
            return await self._store(number).report(workers, _encode(own) if own else b"")
        except StoreError as error:
            return [error] * len(workers)

    async def _look(self) -> list[bool | StoreError]:
        """Raise if no shard answers."""
        shards = (self._store(number).report([], b"") for number in range(self._count))
        told = await asyncio.gather(*shards, return_exceptions=True)
        _unless_all_failed([answer if isinstance(answer, StoreError) else True for answer in told])
        return []

    async def _place_of(self, worker: str) -> int | None:
        number = self._placed.get(worker)
        return await self._pool.placed(worker) if number is None else number

    def _remember(self, worker: str, number: int) -> None:
        self._placed[worker] = number
        self._placed.move_to_end(worker)
        if len(self._placed) > PLACES_MAX:
            self._placed.popitem(last=False)

    async def _known(self) -> int:
        if not self._count and self._shard is None:
            async with self._asking:
                self._count = self._count or await self._asked()
        return self._count

    async def _asked(self) -> int:
        """How many shards there are, as far as anybody knows."""
        await self._pool.open()
        count = (await self._pool.shards()).count
        if count == 1:
            await self._pool.close()  # there is nothing more to ask
        return count

    def _store(self, number: int) -> ReporterStore:
        """The store of a shard, which connects when it is used."""
        if number not in self._stores:
            self._stores[number] = self._make(number)
        return self._stores[number]


def _unless_all_failed(answers: list[bool | StoreError]) -> list[bool | StoreError]:
    errors = [answer for answer in answers if isinstance(answer, StoreError)]
    if errors and len(errors) == len(answers):
        raise errors[0]
    return answers
