"""The audit trail in memory."""

from __future__ import annotations

import asyncio

from nexus_sched.runtime.ports import AuditHead, AuditLine


class MemoryAuditStore:
    """`AuditStore` in memory; `lines` is what is kept."""

    def __init__(self) -> None:
        self.lines: list[AuditLine] = []
        self.newest = AuditHead(0, "")

    async def open(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def head(self) -> AuditHead:
        """The newest record's number and digest; 0 and empty before the first."""
        await asyncio.sleep(0)
        return self.newest

    async def append(self, former: AuditHead, line: AuditLine, kept: int) -> AuditHead:
        """Append behind `former`; the answer is the newest record, which is this one if nobody came before."""
        await asyncio.sleep(0)
        if former == self.newest and line.number == former.number + 1:
            self.lines = [*self.lines, line][-kept:]
            self.newest = AuditHead(line.number, line.digest)
        return self.newest

    async def records(self, after: int, count: int) -> list[AuditLine]:
        """Up to `count` records behind number `after`, in order."""
        await asyncio.sleep(0)
        return [line for line in self.lines if line.number > after][:count]
