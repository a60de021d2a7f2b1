"""What is known of a pool as a whole on Redis: the number of its shards, and where its workers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from nexus_sched.adapters.redis.keys import PoolKeys
from nexus_sched.adapters.redis.library import ShardFunctions
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import CONNECT_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_DEFAULT, RespClient
from nexus_sched.errors import InvalidInput
from nexus_sched.runtime.pool_ports import Placement, PoolShards


class RedisPoolStore:
    """`PoolStore` on Redis or Valkey."""

    def __init__(
        self,
        url: str,
        pool: str = "default",
        *,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
    ) -> None:
        self.keys = PoolKeys(pool)
        place = locator_of(url, self.keys.meta)
        self._client = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._functions = ShardFunctions(self._client, self.keys)

    async def open(self) -> None:
        """Connect. The functions are loaded by the first call that misses them."""
        await self._client.open()

    async def close(self) -> None:
        """Close the connection, until `open`. Never raises."""
        await self._client.close()

    async def shards(self) -> PoolShards:
        """What is settled, without leaving a trace."""
        count, early = await self._client.call(b"HMGET", self.keys.meta, b"count", b"early")
        return PoolShards(int(count or 0), bool(int(early or 0)))

    async def settle(self, wanted: int | None) -> PoolShards:
        """Settle the number of shards, unless it is settled already; gives what holds."""
        count, early = await self._functions.call(b"nx_settle", b"" if wanted is None else wanted)
        return PoolShards(count, bool(early))

    async def place(self, worker: str, slots: int, order: Sequence[int], held: int | None = None) -> int:
        """Give a worker a place; gives its shard."""
        if not order:
            raise InvalidInput("a worker cannot be placed among no shards")
        return int(await self._functions.call(b"nx_place", worker, slots, b"" if held is None else held, *order))

    async def placed(self, worker: str) -> int | None:
        """The shard of a worker, `None` if it is not known."""
        value = await self._client.call(b"HGET", self.keys.workers, worker)
        return None if value is None else _placement(value).shard

    async def placements(self) -> dict[str, Placement]:
        """All workers and their places."""
        flat = await self._client.call(b"HGETALL", self.keys.workers)
        return {
            worker.decode(errors="replace"): _placement(value)
            for worker, value in zip(flat[::2], flat[1::2], strict=True)
        }

    async def displace(self, placements: Mapping[str, Placement]) -> int:
        """Forget these workers, each only if it still is where it was seen; gives how many."""
        seen = chain.from_iterable((worker, f"{at.shard} {at.slots}") for worker, at in placements.items())
        return int(await self._functions.call(b"nx_displace", *seen)) if placements else 0


def _placement(value: bytes) -> Placement:
    shard, _, slots = value.partition(b" ")
    return Placement(int(shard), int(slots))
