"""The audit trail on Redis: a stream of its own, whose head is kept beside it so that a cut end is seen."""

from __future__ import annotations

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.library import ShardFunctions
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import CONNECT_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_DEFAULT, RespClient
from nexus_sched.runtime.ports import AuditHead, AuditLine


class RedisAuditStore:
    """`AuditStore` on Redis or Valkey."""

    def __init__(
        self,
        url: str,
        pool: str = "default",
        shard: int = 0,
        *,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
    ) -> None:
        self.keys = ShardKeys(pool, shard)
        self._client = RespClient(
            locator_of(url, self.keys.meta), timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms
        )
        self._functions = ShardFunctions(self._client, self.keys)
        self._stream = self.keys.key(b"audit")

    async def open(self) -> None:
        """Connect, and load the function library if the server has none."""
        await self._client.open()
        await self._functions.install(replace=False)

    async def close(self) -> None:
        """Close the connection. Never raises."""
        await self._client.close()

    async def head(self) -> AuditHead:
        """The newest record's number and digest; 0 and empty before the first."""
        number, digest = await self._client.call(b"HMGET", self.keys.meta, b"an", b"ah")
        return AuditHead(int(number or 0), (digest or b"").decode())

    async def append(self, former: AuditHead, line: AuditLine, kept: int) -> AuditHead:
        """Append behind `former`; the answer is the newest record, which is this one if nobody came before."""
        number, digest = await self._functions.call(
            b"nx_audit", line.number, former.digest, line.record, line.digest, line.signature, kept
        )
        return AuditHead(int(number), digest.decode())

    async def records(self, after: int, count: int) -> list[AuditLine]:
        """Up to `count` records behind number `after`, in order."""
        entries = await self._client.call(b"XRANGE", self._stream, f"({after}-0", b"+", b"COUNT", count)
        return [
            AuditLine(int(entry.partition(b"-")[0]), fields[1], fields[3].decode(), fields[5].decode())
            for entry, fields in entries
        ]
