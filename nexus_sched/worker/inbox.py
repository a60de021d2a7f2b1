"""Reads a worker's inbox on the store's own connection for it, new entries as they come and all of them at times.

Law: level, not edge. After any loss, and every `reconcile_s`, the inbox is read from the start; the
cursor then is the last entry that is really there, so entries of a store that went back in time, whose
ids start again lower, are seen too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nexus_sched.errors import StoreError
from nexus_sched.runtime.ports import InboxItem, WorkerStore

READ_COUNT = 1_000
BLOCK_MS_MAX = 1_000
BACKOFF_S_MIN = 0.05
BACKOFF_S_MAX = 2.0
START = "0-0"


class InboxReader:
    """`observe` gets entries, new or read again; `scanned` gets the ids of all of them after a full read.

    `lost` is called when the connection was: the store behind the next one may have gone back in time.
    """

    def __init__(
        self,
        store: WorkerStore,
        worker_id: str,
        reconcile_s: float,
        observe: Callable[[list[InboxItem]], None],
        scanned: Callable[[set[str]], None],
        lost: Callable[[], None],
        clock_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._worker_id = worker_id
        self._reconcile_s = reconcile_s
        self._observe = observe
        self._scanned = scanned
        self._lost = lost
        self._clock_s = clock_s
        self._is_due = True

    def reconcile_soon(self) -> None:
        """Something was lost: read everything again."""
        self._is_due = True

    async def run(self) -> None:
        """Read until cancelled. The store's errors are waited out; whoever writes to it tells of them."""
        cursor, scanned_at_s, pause_s = START, 0.0, BACKOFF_S_MIN
        block_ms = max(1, min(BLOCK_MS_MAX, int(self._reconcile_s * 1e3)))
        while True:
            try:
                if self._is_due or self._clock_s() - scanned_at_s >= self._reconcile_s:
                    self._is_due = False
                    cursor, scanned_at_s = await self._scan(), self._clock_s()
                items = await self._store.read_inbox(self._worker_id, cursor, READ_COUNT, block_ms)
            except StoreError:
                self._is_due = True
                self._lost()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, BACKOFF_S_MAX)
                continue
            pause_s = BACKOFF_S_MIN
            if items:
                cursor = items[-1].entry
                self._observe(items)

    async def _scan(self) -> str:
        """Read the inbox from the start; gives the last entry there."""
        cursor, entries = START, set[str]()
        while True:
            items = await self._store.read_inbox(self._worker_id, cursor, READ_COUNT, 0)
            if items:
                cursor = items[-1].entry
                entries.update(item.entry for item in items)
                self._observe(items)
            if len(items) < READ_COUNT:
                self._scanned(entries)
                return cursor
