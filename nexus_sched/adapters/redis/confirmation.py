"""Whether a shard's writes wait for a replica, as the shard itself says.

Laws of this file:
  1. The level is a fact of the shard, written by whoever leads, not of whoever connects: a client that was configured
     otherwise would acknowledge what the operator believes to be replicated. It is read before the first write and
     again every `REREAD_S`, so a change reaches everybody within that time and one call.
  2. `WAIT` counts for what its own connection has written before. It leaves in one write with the call, on the very
     same connection, or not at all; a call that had to be made anew is waited for anew.
"""

from __future__ import annotations

import asyncio

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.errors import StoreError
from nexus_sched.model.durability import STRICT, Durability

REREAD_S = 5.0
_NO_LEVEL = Durability(STRICT)


class ShardLevel:
    """The durability level of one shard, as its record says."""

    def __init__(self, client: RespClient, keys: ShardKeys) -> None:
        self._client = client
        self._keys = keys
        self._known: Durability | None = None
        self._read_at_s = 0.0
        self._reading: asyncio.Task[Durability] | None = None

    async def wait_ms(self) -> int:
        """How long the next write has to wait for a replica, 0 for not at all. May raise `StoreError`."""
        if self._known is None:
            self._known = await self._read()
        elif asyncio.get_running_loop().time() - self._read_at_s > REREAD_S and self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(self._reread)
        return self._known.wait_ms

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> Durability:
        self._read_at_s = asyncio.get_running_loop().time()
        level, timeout_ms = await self._client.call(b"HMGET", self._keys.meta, b"durability", b"replica_ms")
        return _level_of(level, timeout_ms)

    def _reread(self, task: asyncio.Task[Durability]) -> None:
        self._reading = None
        if not task.cancelled() and not isinstance(task.exception(), StoreError):
            self._known = task.result()


def _level_of(level: Reply, timeout_ms: Reply) -> Durability:
    if level is None:
        return _NO_LEVEL  # nobody has ever led here
    return Durability(level.decode(), int(timeout_ms))
