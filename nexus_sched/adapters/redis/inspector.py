"""A shard as `fsck` and `doctor` see it: read in pages, never written to but by `mend`.

Nothing is installed or checked when it is opened: it must also work where nothing else does. Several commands
leave in one write; memory is bounded by the pages that callers ask for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from importlib.resources import files

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.library import declared
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.replies import FunctionMissing, Reply
from nexus_sched.adapters.redis.resp import CONNECT_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_DEFAULT, Argument, RespClient, pack
from nexus_sched.errors import StoreError
from nexus_sched.model.inspection import Pointer, ShardMeta, StoredTask

MEND_TEXT = (files("nexus_sched.adapters.redis") / "functions" / "nexus_mend_v1.lua").read_bytes()


class RedisInspectorStore:
    """Everything that lies in one shard of Redis or Valkey."""

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
        place = locator_of(url, self.keys.meta)
        self.client = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)

    async def open(self) -> None:
        """Connect."""
        await self.client.open()

    async def close(self) -> None:
        """Close the connection. Never raises."""
        await self.client.close()

    async def meta(self) -> ShardMeta | None:
        """What the shard says of itself, `None` if it has no state at all."""
        fields = (b"seq", b"bytes", b"epoch", b"owner", b"rc", b"snap", b"snap_before")
        seq, size, epoch, owner, renewals, *kept = await self.client.call(b"HMGET", self.keys.meta, *fields)
        if seq is None:
            return None
        snapshots = tuple(int(kept_seq) for kept_seq in kept if kept_seq)
        return ShardMeta(
            int(seq), int(size or 0), int(epoch or 0), (owner or b"").decode(), int(renewals or 0), snapshots
        )

    async def names(self, cursor: str, kind: str, count: int) -> tuple[str, list[str]]:
        """One page of the keys of a kind (`t`, `p`, `r`, `i`, `w`, `snap`): the next cursor ("0" at the end), names."""
        head = self.keys.key(kind.encode() + b":")
        following, found = await self.client.call(b"SCAN", cursor, b"MATCH", head + b"*", b"COUNT", count)
        return following.decode(), [key[len(head) :].decode(errors="replace") for key in found]

    async def pointers(self, place: str, after: str, count: int) -> tuple[str, list[Pointer]]:
        """Tasks in a queue or inbox behind an entry: where to go on (empty at the end), and the page."""
        entries = await self.client.call(b"XRANGE", self.keys.key(place.encode()), f"({after}", b"+", b"COUNT", count)
        found = []
        for entry, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            if b"c" not in fields:  # a control message holds no task
                attempt = fields.get(b"a", b"") if not place.startswith("q:") or place == "q:r" else b""
                number = int(attempt) if attempt.isdigit() else 0
                task_id = fields.get(b"i", b"").decode(errors="replace")
                found.append(Pointer(place, entry.decode(), task_id, number))
        return (entries[-1][0].decode() if entries else ""), found

    async def tasks(self, task_ids: Sequence[str]) -> list[StoredTask | None]:
        """The records of tasks, `None` for what is not there."""
        replies = await self._all(
            command
            for task_id in task_ids
            for command in (
                (b"HMGET", self.keys.task(task_id), b"s", b"b", b"w", b"a", b"m", b"c"),
                (b"EXISTS", self.keys.payload(task_id)),
            )
        )
        return [_stored(record, bool(kept)) for record, kept in zip(replies[::2], replies[1::2], strict=True)]

    async def workers_known(self, workers: Sequence[str]) -> list[bool]:
        """Whether a worker of each name ever registered."""
        replies = await self._all((b"EXISTS", self.keys.key(f"w:{worker}".encode())) for worker in workers)
        return [bool(reply) for reply in replies]

    async def values(self, stream: str, field: str, after: str, count: int) -> tuple[str, list[bytes]]:
        """One field of the entries of a stream: where to go on (empty at the end), and the values of the page."""
        entries = await self.client.call(b"XRANGE", self.keys.key(stream.encode()), f"({after}", b"+", b"COUNT", count)
        name = field.encode()
        found = [dict(zip(flat[::2], flat[1::2], strict=True)).get(name, b"") for _, flat in entries]
        return (entries[-1][0].decode() if entries else ""), found

    async def command(self, blob: bytes) -> None:
        """Append an encoded command for the leader."""
        await self.client.call(b"XADD", self.keys.commands, b"*", b"f", blob)

    async def mend(self, repair: str, *arguments: str) -> int:
        """One repair, which checks again what it mends: 0 if there was nothing to mend (any more)."""
        call: tuple[Argument, ...] = (
            b"FCALL",
            f"nx_mend_{repair}",
            *declared(self.client, self.keys),
            *arguments,
        )
        try:
            changed: int = await self.client.call(*call)
        except FunctionMissing:
            await self.client.call(b"FUNCTION", b"LOAD", b"REPLACE", MEND_TEXT)
            changed = await self.client.call(*call)
        return changed

    async def _all(self, commands: Iterable[tuple[Argument, ...]]) -> list[Reply]:
        """The replies to several commands, which leave together. Raises the first error among them."""
        replies = await asyncio.gather(*[self.client.send(pack(command)) for command in commands])
        for reply in replies:
            if isinstance(reply, StoreError):
                raise reply
        return replies


def _stored(record: list[bytes | None], has_payload: bool) -> StoredTask | None:
    state, size, worker, attempt, lowest, priority = record
    if state is None:
        return None
    return StoredTask(
        state.decode(),
        int(size or 0),
        (worker or b"").decode(),
        int(attempt or 0),
        int(lowest or 0),
        int(priority or 5),
        has_payload,
    )
