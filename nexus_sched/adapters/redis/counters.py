"""Counters that all gateways of a pool share, wherever its server is.

They lie under the pool's own hash tag, so one server holds them together, and the one locator finds it: a fixed server,
the primary that Sentinels name, or the owner of the slot in a cluster. Counters are not worth a promotion's care: what
is lost with a primary is a window at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from nexus_sched.adapters.redis.keys import PoolKeys
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import Argument, RespClient

TIMEOUT_MS = 500  # a request waits for it; without an answer it is not counted
CONNECT_TIMEOUT_MS = 500


class RedisCounters:
    """Runs commands and scripts on the counters of a pool, which are named without the pool. Dials when it is used."""

    def __init__(self, url: str, pool: str) -> None:
        keys = PoolKeys(pool)
        self._prefix = keys.prefix + b":count:"
        self._client = RespClient(
            locator_of(url, keys.meta), timeout_ms=TIMEOUT_MS, connect_timeout_ms=CONNECT_TIMEOUT_MS
        )

    async def close(self) -> None:
        """Close the connection. Never raises."""
        await self._client.close()

    async def call(self, command: str, name: str, *arguments: Argument) -> Reply:
        """A command on one counter. Raises a `StoreError`."""
        return await self._client.call(command, self._prefix + name.encode(), *arguments)

    async def run(self, script: str, names: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        """A script on some counters; the server keeps what it has compiled. Raises a `StoreError`."""
        keys = [self._prefix + name.encode() for name in names]
        return await self._client.call("EVAL", script, len(keys), *keys, *arguments)

    async def ping(self) -> None:
        """Whether the server answers. Raises a `StoreError`."""
        await self._client.call("PING")
