"""Reporting for many workers of a whole pool: each is reported to its own shard, in one call a shard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from nexus_sched.model.worker import PackedReport
from nexus_sched.runtime.pool_ports import PoolStore
from nexus_sched.runtime.ports import ReporterStore

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
        self._stores: dict[int, ReporterStore] = {}
        self._placed: dict[str, int] = {}

    async def open(self) -> None:
        """Learn how many shards there are, as far as anybody knows."""
        await self._known()

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._pool.close()
        for store in self._stores.values():
            await store.close()

    async def report(self, workers: Sequence[tuple[str, int]], pack: bytes) -> list[bool]:
        """A sign of life of each worker, and one entry a shard for what those there have to say.

        `False` for each whose incarnation is not the live one, or that has no place: it has to register.
        """
        if await self._known() <= 1 or self._shard is not None:
            return await self._store(self._shard or 0).report(workers, pack)
        if any(worker not in self._placed for worker, _ in workers):
            self._placed = {worker: at.shard for worker, at in (await self._pool.placements()).items()}
        parts: dict[int, list[int]] = {}
        for index, (worker, _) in enumerate(workers):
            if (number := self._placed.get(worker, self._count)) < self._count:
                parts.setdefault(number, []).append(index)
        said = _decode_pack(pack) if pack else []
        answers = [False] * len(workers)
        told = await asyncio.gather(
            *(self._tell(number, [workers[i] for i in part], said) for number, part in parts.items())
        )
        for part, heard in zip(parts.values(), told, strict=True):
            for index, answer in zip(part, heard, strict=True):
                answers[index] = answer
                if not answer:
                    self._placed.pop(workers[index][0], None)  # it may have a place elsewhere by now
        return answers

    async def _tell(self, number: int, workers: Sequence[tuple[str, int]], said: Sequence[PackedReport]) -> list[bool]:
        names = {worker for worker, _ in workers}
        own = [each for each in said if each.worker in names]
        return await self._store(number).report(workers, _encode(own) if own else b"")

    async def _known(self) -> int:
        if not self._count and self._shard is None:
            await self._pool.open()
            self._count = (await self._pool.shards()).count
            if self._count == 1:
                await self._pool.close()  # there is nothing more to ask
        return self._count

    def _store(self, number: int) -> ReporterStore:
        """The store of a shard, which connects when it is used."""
        if number not in self._stores:
            self._stores[number] = self._make(number)
        return self._stores[number]
