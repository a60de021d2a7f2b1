"""The side of whoever reports for many workers, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nexus_sched.adapters.memory.shard import MemoryShard


class MemoryReporterStore:
    """`ReporterStore` on a `MemoryShard`."""

    def __init__(self, shard: MemoryShard) -> None:
        self.shard = shard

    async def open(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to close."""

    async def report(self, workers: Sequence[tuple[str, int]], pack: bytes) -> list[bool]:
        """A sign of life of each worker, and one entry for what they have to say."""
        await asyncio.sleep(0)
        return self.shard.report(workers, pack)
