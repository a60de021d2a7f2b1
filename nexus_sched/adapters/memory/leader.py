"""The leader's side of a shard in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

from nexus_sched.adapters.memory.shard import MemoryShard
from nexus_sched.adapters.memory.stream import format_entry_id, parse_entry_id
from nexus_sched.errors import StoreError
from nexus_sched.model.store_state import History, StoreHealth
from nexus_sched.runtime.ports import INPUT_STREAMS, CommitPlan, Lease, LeaseSeen, RawBatch, RawEntry, Reaped


class MemoryLeaderStore:
    """`LeaderStore` on a `MemoryShard`. Every call gives the event loop a turn, as a real store would."""

    def __init__(self, shard: MemoryShard, *, publish: bool = False) -> None:
        self.shard = shard
        self._publish = publish

    async def open(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Nothing to close."""

    async def acquire(self, owner: str, nonce: str, seen: LeaseSeen | None) -> Lease | LeaseSeen:
        """Take the lease if it is free, one's own, or still exactly as `seen`."""
        await asyncio.sleep(0)
        return self.shard.acquire(owner, nonce, seen)

    async def renew(self, lease: Lease) -> None:
        """Show that the leader lives. Raises `Fenced`."""
        await asyncio.sleep(0)
        self.shard.renew(lease)

    async def release(self, lease: Lease) -> None:
        """Give the lease back; the next `acquire` succeeds at once."""
        await asyncio.sleep(0)
        self.shard.release(lease)

    async def read(self, cursors: Mapping[str, str], count: int, block_ms: int) -> RawBatch:
        """New entries behind `cursors`, at most `count` a stream; waits up to `block_ms` for the first."""
        await asyncio.sleep(0)
        batch = self._read(cursors, count)
        if not batch and block_ms > 0:
            await self.shard.bus.wait([stream for stream in INPUT_STREAMS if stream in cursors], block_ms)
            batch = self._read(cursors, count)
        return batch

    def _read(self, cursors: Mapping[str, str], count: int) -> RawBatch:
        batch: RawBatch = []
        for stream in INPUT_STREAMS:
            if stream in cursors:
                found = self.shard.streams[stream].after(parse_entry_id(cursors[stream]), count)
                if found:
                    batch.append((stream, [[format_entry_id(entry).encode(), fields] for entry, fields in found]))
        return batch

    def commit(self, lease: Lease, seq: int, plan: CommitPlan) -> Awaitable[int]:
        """Apply `plan` on top of `seq` at once; the awaitable gives `seq + 1`, or raises."""
        outcome: int | StoreError
        try:
            outcome = self.shard.commit(lease, seq, plan, publish=self._publish)
        except StoreError as error:
            outcome = error
        return _told(outcome)

    async def sequence(self) -> int | None:
        """The journal's sequence, `None` if the shard has no state at all."""
        await asyncio.sleep(0)
        return self.shard.seq

    async def heartbeats(self) -> dict[str, int]:
        """Live workers and their heartbeat counters."""
        await asyncio.sleep(0)
        return dict(self.shard.beats)

    async def reap(self, lease: Lease, worker: str, beat: int, limit: int) -> Reaped:
        """Declare a worker lost whose counter still is `beat`, and reclaim up to `limit` of its tasks."""
        await asyncio.sleep(0)
        return self.shard.reap(lease, worker, beat, limit)

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` turns `(seq, blob)` behind sequence `after`, in order."""
        await asyncio.sleep(0)
        # every entry is `<seq>-0`, so none lies between (after, 0) and (after + 1, 0)
        return [(entry[0], fields[1]) for entry, fields in self.shard.streams["ev"].after((after, 0), count)]

    async def snapshots(self) -> list[tuple[int, bytes]]:
        """The kept snapshots `(seq, blob)`, newest first."""
        await asyncio.sleep(0)
        return [(seq, self.shard.snapshots[seq]) for seq in self.shard.kept if seq is not None]

    async def save_snapshot(self, lease: Lease, seq: int, blob: bytes) -> None:
        """Keep a snapshot of the state after turn `seq`; the journal is cut behind the one before it."""
        await asyncio.sleep(0)
        self.shard.save_snapshot(lease, seq, blob)

    async def offer_snapshot(self, seq: int, turn: bytes, blob: bytes) -> bool:
        """Keep a snapshot if `turn` is what the journal holds as `seq` and no other is as new."""
        await asyncio.sleep(0)
        return self.shard.offer_snapshot(seq, turn, blob)

    async def hold_journal(self, seq: int, turns_max: int) -> int:
        """Keep what follows turn `seq`, at most `turns_max` turns, for an exporter; gives the first turn there is."""
        await asyncio.sleep(0)
        return self.shard.hold_journal(seq, turns_max)

    async def newest_snapshot(self) -> int:
        """The turn of the newest snapshot, 0 if there is none."""
        await asyncio.sleep(0)
        return self.shard.kept[0] or 0

    async def health(self) -> StoreHealth:
        """Nothing is promised, and nothing is wrong."""
        await asyncio.sleep(0)
        return StoreHealth()

    async def history(self) -> History:
        """Whose writes the shard holds, and whose it held when it was led before."""
        await asyncio.sleep(0)
        was, self.shard.noted_history = self.shard.noted_history, self.shard.history
        return History(was, self.shard.history)

    async def write_frame(self, blob: bytes, drain_tasks_s: float = 0.0) -> None:
        """Replace the picture of the state, and how fast the queue is predicted to drain."""
        await asyncio.sleep(0)
        self.shard.frame, self.shard.drain_tasks_s = blob, drain_tasks_s

    async def dead_letters(self, after: str, count: int) -> list[RawEntry]:
        """Up to `count` dead letters behind entry `after`; beyond the port, what people look at."""
        await asyncio.sleep(0)
        found = self.shard.streams["dead"].after(parse_entry_id(after), count)
        return [[format_entry_id(entry).encode(), fields] for entry, fields in found]


async def _told(outcome: int | StoreError) -> int:
    await asyncio.sleep(0)
    if isinstance(outcome, StoreError):
        raise outcome
    return outcome
