"""Writing the audit trail: each record behind the newest one, whoever else writes at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from nexus_sched.control.record import Entry, line_of
from nexus_sched.control.signing import Signer
from nexus_sched.errors import Conflict
from nexus_sched.runtime.ports import AuditHead, AuditLine, AuditStore
from nexus_sched.units import NS_PER_MS

TRIES_MAX = 200  # others that came before; each of them has written its record
PAGE = 500


class Trail:
    """The trail of one pool. Connects when it is first used."""

    def __init__(self, store: AuditStore, kept: int, signer: Signer | None = None) -> None:
        self._store = store
        self._kept = kept
        self._signer = signer
        self._head: AuditHead | None = None
        self._is_open = False
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Connect now. Raises the `StoreError` that prevents it."""
        if not self._is_open:
            await self._store.open()
            self._is_open = True

    async def close(self) -> None:
        """Let go of all connections. Never raises."""
        self._is_open = False
        await self._store.close()

    async def write(self, entry: Entry) -> int:
        """Append a record; the answer is its number. Raises a `StoreError`, and then nothing may be changed."""
        async with self._writing:
            await self.open()
            return await self._append(entry)

    async def _append(self, entry: Entry) -> int:
        former = self._head or await self._store.head()
        for _ in range(TRIES_MAX):
            line = line_of(entry, former, time.time_ns() // NS_PER_MS, self._signer)
            self._head = None  # until it is known again
            newest = await self._store.append(former, line, self._kept)
            self._head = newest
            if newest == (line.number, line.digest):
                return line.number
            former = newest
        raise Conflict("too many others write the audit trail at the same time: try again")

    async def head(self) -> AuditHead:
        """The newest record."""
        await self.open()
        return await self._store.head()

    async def page(self, after: int, count: int) -> list[AuditLine]:
        """Up to `count` records behind number `after`."""
        await self.open()
        return await self._store.records(after, count)

    async def lines(self, after: int = 0) -> AsyncIterator[AuditLine]:
        """All records behind number `after`, in order."""
        await self.open()
        while page := await self._store.records(after, PAGE):
            for line in page:
                yield line
            after = page[-1].number
