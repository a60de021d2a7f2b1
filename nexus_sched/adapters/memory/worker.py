"""A worker's side of a shard in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nexus_sched.adapters.memory.shard import MemoryShard
from nexus_sched.adapters.memory.stream import format_entry_id, parse_entry_id
from nexus_sched.runtime.ports import CompletionLine, InboxItem, StartLine, StepReply


class MemoryWorkerStore:
    """`WorkerStore` on a `MemoryShard`. Any number of workers may share one."""

    def __init__(self, shard: MemoryShard) -> None:
        self.shard = shard

    async def open(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to close."""

    async def register(self, worker: str, offer: bytes) -> int:
        """Announce a new incarnation and get its number. `offer` is an encoded `WorkerOffer`."""
        await asyncio.sleep(0)
        return self.shard.register(worker, offer)

    async def step(
        self,
        worker: str,
        incarnation: int,
        report: bytes,
        completions: Sequence[CompletionLine],
        starts: Sequence[StartLine],
    ) -> StepReply:
        """Results, next starts and heartbeat in one call. Raises `Fenced`: register again."""
        await asyncio.sleep(0)
        return self.shard.step(worker, incarnation, report, completions, starts)

    async def leave(self, worker: str, incarnation: int) -> int:
        """Say good-bye; what is still in the inbox is reclaimed. Gives how many. Raises `Fenced`."""
        await asyncio.sleep(0)
        return self.shard.leave(worker, incarnation)

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> list[InboxItem]:
        """Entries behind `after` ("0-0" for all). Waits up to `block_ms` for the first one."""
        await asyncio.sleep(0)
        items = self._read(worker, after, count)
        if not items and block_ms > 0:
            await self.shard.bus.wait([f"i:{worker}"], block_ms)
            items = self._read(worker, after, count)
        return items

    def _read(self, worker: str, after: str, count: int) -> list[InboxItem]:
        items = []
        for entry_id, fields in self.shard.streams[f"i:{worker}"].after(parse_entry_id(after), count):
            control, rest = (fields[1].decode(), fields[2:]) if fields[0] == b"c" else ("", fields)
            items.append(InboxItem(format_entry_id(entry_id), control, rest[1].decode(), int(rest[3])))
        return items
