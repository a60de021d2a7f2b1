"""Copies the journal while the run goes on, and counts the announced ends.

The copy is what is checked in the end: it has no holes where the journal was cut behind a snapshot, and a turn
that the store later gives in other words, or no longer, is noticed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

from nexus_sched.adapters.redis import RedisSubmitterStore
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.errors import StoreError
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.events import TaskFinished
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.runtime.ports import ESTIMATED

PAGE = 512
POLL_S = 0.01
TIMEOUT_MS = 500


class Observer:
    """Follows one shard. `turns` holds what its journal said, by sequence."""

    def __init__(self, path: Path, pool: str, reply: str, shard: int = 0, keeps_snapshots: bool = False) -> None:
        self.turns: dict[int, Turn] = {}
        self.blobs: dict[int, bytes] = {}
        self.finished: Counter[str] = Counter()  # results that the journal knows as accepted
        self.announced: Counter[str] = Counter()
        self.rolled_back = 0  # turns that the store once held and no longer did
        self.seq = 0
        self.snapshots: dict[int, bytes] = {}  # all that were seen, if they are wanted
        self._keeps_snapshots = keeps_snapshots
        self.dispatched: list[tuple[int, int]] = []  # (seq, epoch) of turns that placed something
        self._keys = ShardKeys(pool, shard)
        self._reply = reply
        self._jobs: list[asyncio.Task[None]] = []
        self._copying = asyncio.Lock()  # a turn that is copied twice would count its ends twice
        self._look_at(path)

    async def move(self, path: Path) -> None:
        """Look at another server from now on: a promoted replica."""
        await self.stop()
        self._look_at(path)
        async with self._copying:
            await self._align()
        self.start()

    async def _align(self) -> None:
        """Forget turns of the end that the promoted server has otherwise: it may have gone on already."""
        first = max(1, self.seq - PAGE)
        held = await self._client.call("XRANGE", self._keys.journal, f"{first}-0", f"{self.seq}-0")
        there = {int(entry.partition(b"-")[0]): fields[1] for entry, fields in held}
        for seq in range(min(there, default=self.seq + 1), self.seq + 1):
            if there.get(seq) != self.blobs[seq]:
                self._roll_back(seq - 1)
                break

    def _look_at(self, path: Path) -> None:
        url = f"unix://{path}"
        self._client = RespClient(parse_address(url), timeout_ms=TIMEOUT_MS, connect_timeout_ms=TIMEOUT_MS)
        self._store = RedisSubmitterStore(url, self._keys.prefix.split(b":")[1].decode(), timeout_ms=TIMEOUT_MS)

    def start(self) -> None:
        """Follow from now on."""
        self._jobs = [asyncio.ensure_future(self._copy()), asyncio.ensure_future(self._listen())]

    async def stop(self) -> None:
        """Leave nothing open."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self._client.close()
        await self._store.close()

    async def _copy(self) -> None:
        while True:
            try:
                await self.catch_up()
            except StoreError:
                await asyncio.sleep(POLL_S)
            await asyncio.sleep(POLL_S)

    async def catch_up(self) -> None:
        """Copy all that is new. Raises `StoreError`."""
        async with self._copying:
            await self._catch_up()

    async def _catch_up(self) -> None:
        if self._keeps_snapshots:
            newest = int(await self._client.call("HGET", self._keys.meta, "snap") or 0)
            if newest not in (0, *self.snapshots):
                self.snapshots[newest] = await self._client.call("GET", self._keys.snapshot(b"%d" % newest))
        while page := await self._client.call("XRANGE", self._keys.journal, f"{self.seq + 1}-0", "+", "COUNT", PAGE):
            for entry, fields in page:
                self._take(int(entry.partition(b"-")[0]), fields[1])
        held = await self._client.call("HGET", self._keys.meta, "seq")
        if held is not None and int(held) < self.seq:
            self._roll_back(int(held))

    def _take(self, seq: int, blob: bytes) -> None:
        turn = decode_turn(blob)
        self.turns[seq], self.blobs[seq], self.seq = turn, blob, seq
        self.finished.update(event.task_id for event in turn.events if type(event) is TaskFinished)
        if any(type(effect) is Dispatch for effect in turn.effects):
            self.dispatched.append((seq, turn.epoch))

    def _roll_back(self, seq: int) -> None:
        for gone in range(seq + 1, self.seq + 1):
            turn = self.turns.pop(gone, None)
            if turn is not None:
                self.rolled_back += 1
                self.finished.subtract(event.task_id for event in turn.events if type(event) is TaskFinished)
        self.dispatched = [(at, epoch) for at, epoch in self.dispatched if at <= seq]
        self.seq = seq

    async def _listen(self) -> None:
        while True:
            try:
                async for ended in self._store.ended(self._reply):
                    if ended.outcome != ESTIMATED:
                        self.announced[ended.task_id] += 1
            except StoreError:
                await asyncio.sleep(POLL_S)

    def missing(self) -> int:
        """Turns of which there is no copy, up to the newest."""
        return self.seq - len(self.turns)

    @property
    def epoch(self) -> int:
        """Of the newest turn."""
        return self.turns[self.seq].epoch if self.turns else 0

    async def dispatches(self, after: int, epoch: int, timeout_s: float) -> float | None:
        """Wait for a placement behind turn `after`, in `epoch` or later; gives how long it took, `None` if too long."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < timeout_s:
            if self.dispatched and self.dispatched[-1][0] > after and self.dispatched[-1][1] >= epoch:
                return time.monotonic() - began_s
            await asyncio.sleep(POLL_S)
        return None
