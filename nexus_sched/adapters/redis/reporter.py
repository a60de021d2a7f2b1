"""The side of whoever reports for many workers, on Redis: one call for all that gathered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.library import ShardFunctions
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import RespClient


class RedisReporterStore:
    """`ReporterStore` on Redis or Valkey."""

    def __init__(self, url: str, pool: str = "default", shard: int = 0) -> None:
        keys = ShardKeys(pool, shard)
        self._client = RespClient(locator_of(url, keys.meta))
        self._functions = ShardFunctions(self._client, keys)

    async def open(self) -> None:
        """Connect, and load the function library if the server has none."""
        await self._client.open()
        await self._functions.install(replace=False)

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._client.close()

    async def report(self, workers: Sequence[tuple[str, int]], pack: bytes) -> list[bool]:
        """A sign of life of each worker, and one entry for what they have to say."""
        answers = await self._functions.call_in_turn(b"nx_report", pack, *chain.from_iterable(workers))
        return [answer == 1 for answer in answers]
