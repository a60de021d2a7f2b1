"""A shard in memory as an inspection sees it: everything in one page. Repairs exist on servers only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nexus_sched.adapters.memory.shard import MemoryShard, TaskState
from nexus_sched.adapters.memory.stream import format_entry_id, parse_entry_id
from nexus_sched.model.inspection import Pointer, ShardMeta, StoredTask


class MemoryInspectorStore:
    """What `nexus_sched.inspection` reads, on a `MemoryShard`."""

    def __init__(self, shard: MemoryShard) -> None:
        self.shard = shard

    async def meta(self) -> ShardMeta | None:
        """What the shard says of itself, `None` if it has no state at all."""
        await asyncio.sleep(0)
        shard = self.shard
        if shard.seq is None:
            return None
        kept = tuple(seq for seq in shard.kept if seq is not None)
        return ShardMeta(shard.seq, shard.queued_bytes, shard.epoch, shard.owner, shard.renewals, kept)

    async def names(self, cursor: str, kind: str, count: int) -> tuple[str, list[str]]:  # noqa: ARG002 - one page holds all
        """The keys of a kind, all at once."""
        await asyncio.sleep(0)
        shard = self.shard
        found = {
            "t": list(shard.tasks),
            "p": [task_id for task_id, task in shard.tasks.items() if task.envelope is not None],
            "r": list(shard.results),
            "i": [stream[2:] for stream, entries in shard.streams.items() if stream.startswith("i:") and len(entries)],
            "w": list(shard.workers),
            "snap": [str(seq) for seq in shard.snapshots],
        }
        return "0", found[kind]

    async def pointers(self, place: str, after: str, count: int) -> tuple[str, list[Pointer]]:
        """Tasks in a queue or inbox behind an entry: where to go on (empty at the end), and the page."""
        await asyncio.sleep(0)
        entries = self.shard.streams[place].after(parse_entry_id(after), count)
        found = []
        for entry, flat in entries:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            if b"c" not in fields:
                counted = place == "q:r" or not place.startswith("q:")
                attempt = int(fields.get(b"a", b"0")) if counted else 0
                found.append(Pointer(place, format_entry_id(entry), fields[b"i"].decode(), attempt))
        return (format_entry_id(entries[-1][0]) if entries else ""), found

    async def tasks(self, task_ids: Sequence[str]) -> list[StoredTask | None]:
        """The records of tasks, `None` for what is not there."""
        await asyncio.sleep(0)
        return [_stored(self.shard.tasks.get(task_id)) for task_id in task_ids]

    async def workers_known(self, workers: Sequence[str]) -> list[bool]:
        """Whether a worker of each name ever registered."""
        await asyncio.sleep(0)
        return [worker in self.shard.workers for worker in workers]

    async def values(self, stream: str, field: str, after: str, count: int) -> tuple[str, list[bytes]]:
        """One field of the entries of a stream: where to go on (empty at the end), and the values of the page."""
        await asyncio.sleep(0)
        entries = self.shard.streams[stream].after(parse_entry_id(after), count)
        name = field.encode()
        found = [dict(zip(flat[::2], flat[1::2], strict=True)).get(name, b"") for _, flat in entries]
        return (format_entry_id(entries[-1][0]) if entries else ""), found


def _stored(task: TaskState | None) -> StoredTask | None:
    if task is None:
        return None
    return StoredTask(
        task.state,
        task.payload_bytes,
        task.worker,
        task.attempt,
        task.attempt_min,
        task.priority,
        task.envelope is not None,
    )
