"""The replicas that serve pools on a server: one hash, replica -> what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from nexus_sched.adapters.redis.keys import REPLICAS
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import CONNECT_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_DEFAULT, RespClient


class RedisRegistryStore:
    """`RegistryStore` on Redis or Valkey."""

    def __init__(
        self,
        url: str,
        *,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
    ) -> None:
        place = locator_of(url, REPLICAS)
        self._client = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)

    async def open(self) -> None:
        """Connect."""
        await self._client.open()

    async def close(self) -> None:
        """Close the connection. Never raises."""
        await self._client.close()

    async def announce(self, replica: str, blob: bytes) -> dict[str, bytes]:
        """Say something of oneself; gives what all say, oneself included. Both commands leave together."""
        _, all_said = await asyncio.gather(
            self._client.call(b"HSET", REPLICAS, replica, blob), self._client.call(b"HGETALL", REPLICAS)
        )
        return _by_replica(all_said)

    async def announcements(self) -> dict[str, bytes]:
        """What all say, for whoever only looks."""
        return _by_replica(await self._client.call(b"HGETALL", REPLICAS))

    async def withdraw(self, replicas: Iterable[str]) -> None:
        """Forget these replicas."""
        if names := list(replicas):
            await self._client.call(b"HDEL", REPLICAS, *names)


def _by_replica(flat: list[bytes]) -> dict[str, bytes]:
    return {name.decode(errors="replace"): blob for name, blob in zip(flat[::2], flat[1::2], strict=True)}
