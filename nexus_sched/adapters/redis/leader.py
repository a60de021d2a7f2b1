"""The leader's side of a shard on Redis. Reading blocks on a connection of its own; writing never waits
behind it, and commits leave in the order in which they are called.

Cost, Python side: see `commit`; the loop over the tasks of a turn runs in C (`chain`, hiredis).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from itertools import chain

from nexus_sched.adapters.redis.health import ServerWatch
from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.library import RESULT_TTL_S_DEFAULT, ShardFunctions
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import (
    CONNECT_TIMEOUT_MS_DEFAULT,
    TIMEOUT_MS_DEFAULT,
    Argument,
    RespClient,
)
from nexus_sched.adapters.redis.suitability import check_suitable
from nexus_sched.errors import Fenced, StoreUnreachable
from nexus_sched.model.durability import Durability
from nexus_sched.model.store_state import History, StoreHealth
from nexus_sched.runtime.ports import (
    INPUT_STREAMS,
    CommitPlan,
    EndLine,
    Lease,
    LeaseSeen,
    RawBatch,
    RawEntry,
    Reaped,
    SequenceMismatch,
)
from nexus_sched.units import MS_PER_S

_STRICT = Durability()


NEITHER = (0, 0, 0)  # ends, retracts, stops


class RedisLeaderStore:
    """`LeaderStore` on Redis or Valkey. `publish`: also PUBLISH every dispatch on `nexus:dispatch:<worker>`."""

    def __init__(
        self,
        url: str,
        pool: str = "default",
        shard: int = 0,
        *,
        publish: bool = False,
        durability: Durability = _STRICT,
        result_ttl_s: int = RESULT_TTL_S_DEFAULT,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
    ) -> None:
        self.keys = ShardKeys(pool, shard)
        place = locator_of(url, self.keys.meta)
        self._writer = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._reader = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._functions = ShardFunctions(self._writer, self.keys)
        self._watch = ServerWatch(self._writer, self._functions, durability)
        self._durability = durability
        self._wait_ms = durability.wait_ms
        later = self._wait_ms > 0  # ends are not announced before they are replicated
        self._publish = int(publish) + 2 * int(later)
        self._result_ttl_s = result_ttl_s
        self._margin_s = timeout_ms / MS_PER_S

    async def open(self) -> None:
        """Connect, check that the server is suitable, install or replace the function library."""
        await self._writer.open()
        await check_suitable(self._writer)
        await self._functions.install(replace=True)
        await self._reader.open()

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._reader.close()
        await self._writer.close()

    # -- the lease

    async def acquire(self, owner: str, nonce: str, seen: LeaseSeen | None) -> Lease | LeaseSeen:
        """Take the lease if it is free, one's own, or still exactly as `seen`. The level becomes the shard's.

        Raises `StoreNotReplicated` if it promises replicas and there is none: nobody can lead then. Outside of clusters
        all is read from and written to the server that gave the lease, until this is called again, or `StoreMoved` is
        raised: another one may hold other entries under the same ids.
        """
        self._writer.stay("")
        epoch, counter = (seen.epoch, seen.counter) if seen else ("", "")
        level = self._durability.level, self._durability.replica_timeout_ms
        taken, first, second, *holder = await self._functions.call_replicated(
            self._wait_ms, b"nx_acquire", owner, nonce, epoch, counter, *level
        )
        if taken:
            self._stay()
            return Lease(epoch=int(first), owner=owner, nonce=nonce, seq=int(second))
        return LeaseSeen(epoch=first.decode(), counter=second.decode(), owner=b"".join(holder).decode())

    def _stay(self) -> None:
        if self._writer.locator.clustered:
            return  # a node that does not own the slot says so, and a slot that moves takes its entries along
        server = self._writer.server
        if not server:
            raise StoreUnreachable("the connection over which the lease was given is lost")
        self._writer.stay(server)
        self._reader.stay(server)

    async def renew(self, lease: Lease) -> None:
        """Show that the leader lives. Raises `Fenced`."""
        if not await self._functions.call(b"nx_renew", lease.epoch, lease.nonce):
            raise Fenced(f"the lease of epoch {lease.epoch} is somebody else's")

    async def release(self, lease: Lease) -> None:
        """Give the lease back; the next `acquire` succeeds at once. Nothing happens if it is lost already."""
        await self._functions.call(b"nx_release", lease.epoch, lease.nonce)

    # -- the turn

    async def read(self, cursors: Mapping[str, str], count: int, block_ms: int) -> RawBatch:
        """New entries behind `cursors`, at most `count` a stream; waits up to `block_ms` for the first."""
        streams = [stream for stream in INPUT_STREAMS if stream in cursors]
        keys = self.keys.inputs
        block: tuple[Argument, ...] = (b"BLOCK", block_ms) if block_ms > 0 else ()
        reply = await self._reader.call(
            b"XREAD",
            b"COUNT",
            count,
            *block,
            b"STREAMS",
            *[keys[stream] for stream in streams],
            *[cursors[stream] for stream in streams],
            timeout_s=block_ms / MS_PER_S + self._margin_s,
        )
        suffixes = self.keys.suffixes
        return [(suffixes[key], entries) for key, entries in reply or ()]

    def commit(self, lease: Lease, seq: int, plan: CommitPlan) -> Awaitable[int]:
        """Apply `plan` on top of `seq`; gives `seq + 1`. Sent at once, so commits may be pipelined.

        Raises `Fenced` or `SequenceMismatch`, or a `StoreError`, after which nothing or all was applied.
        """
        arguments: list[Argument] = [lease.epoch, lease.nonce, seq, plan.turn, self._publish, self._result_ttl_s]
        arguments.append(len(plan.trims))
        for trim in plan.trims.items():
            arguments += trim
        removals = [(stream, entries) for stream, entries in plan.removals.items() if entries]
        arguments.append(len(removals))
        for stream, entries in removals:
            arguments += (stream, len(entries), *entries)
        arguments.append(len(plan.dispatches))
        arguments += chain.from_iterable(plan.dispatches)
        if plan.ends or plan.retracts or plan.stops:
            arguments += _seldom(plan)
        else:
            arguments += NEITHER
        if plan.estimates or plan.answers:
            arguments.append(len(plan.estimates))
            arguments += chain.from_iterable(plan.estimates)
            arguments.append(len(plan.answers))
            arguments += chain.from_iterable(plan.answers)
        sent = self._functions.call_replicated(self._wait_ms, b"nx_commit", *arguments)
        return self._committed(lease, sent, plan.ends if self._wait_ms else ())

    async def _committed(self, lease: Lease, sent: Awaitable[Reply], kept_back: Sequence[EndLine]) -> int:
        reply = await sent
        if reply[0] == b"OK":
            self._functions.tell(end.task_id for end in kept_back if end.task_id)
            return int(reply[1])
        if reply[0] == b"SEQ":
            raise SequenceMismatch(int(reply[1]))
        raise Fenced(f"the lease of epoch {lease.epoch} is somebody else's")

    async def sequence(self) -> int | None:
        """The journal's sequence, `None` if the shard has no state at all."""
        seq = await self._writer.call(b"HGET", self.keys.meta, b"seq")
        return None if seq is None else int(seq)

    # -- workers

    async def heartbeats(self) -> dict[str, int]:
        """Live workers and their heartbeat counters."""
        flat = await self._writer.call(b"ZRANGE", self.keys.heartbeats, 0, -1, b"WITHSCORES")
        return {worker.decode(): _counter(beat) for worker, beat in zip(flat[::2], flat[1::2], strict=True)}

    async def reap(self, lease: Lease, worker: str, beat: int, limit: int) -> Reaped:
        """Declare a worker lost whose counter still is `beat`, and reclaim up to `limit` of its tasks."""
        reply = await self._functions.call(b"nx_reap", lease.epoch, lease.nonce, worker, beat, limit)
        if reply[0] == b"OK":
            return Reaped(alive=False, moved=int(reply[1]), left=int(reply[2]))
        if reply[0] == b"ALIVE":
            return Reaped(alive=True)
        raise Fenced(f"the lease of epoch {lease.epoch} is somebody else's")

    # -- journal, snapshots, frame

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` turns `(seq, blob)` behind sequence `after`, in order."""
        entries = await self._writer.call(b"XRANGE", self.keys.journal, f"{after + 1}-0", b"+", b"COUNT", count)
        return [(int(entry.partition(b"-")[0]), fields[1]) for entry, fields in entries]

    async def snapshots(self) -> list[tuple[int, bytes]]:
        """The kept snapshots `(seq, blob)`, newest first."""
        kept = [seq for seq in await self._writer.call(b"HMGET", self.keys.meta, b"snap", b"snap_before") if seq]
        if not kept:
            return []
        blobs = await self._writer.call(b"MGET", *[self.keys.snapshot(seq) for seq in kept])
        return [(int(seq), blob) for seq, blob in zip(kept, blobs, strict=True) if blob is not None]

    async def save_snapshot(self, lease: Lease, seq: int, blob: bytes) -> None:
        """Keep a snapshot of the state after turn `seq`; the journal is cut behind the one before it."""
        reply = await self._functions.call(b"nx_snapshot", lease.epoch, lease.nonce, seq, blob)
        if reply[0] == b"SEQ":
            raise SequenceMismatch(int(reply[1]))
        if reply[0] != b"OK":
            raise Fenced(f"the lease of epoch {lease.epoch} is somebody else's")

    async def offer_snapshot(self, seq: int, turn: bytes, blob: bytes) -> bool:
        """Keep a snapshot if `turn` is what the journal holds as `seq` and no other is as new."""
        reply = await self._functions.call(b"nx_offer", seq, turn, blob)
        return bool(reply[0] == b"OK")

    async def hold_journal(self, seq: int, turns_max: int) -> int:
        """Keep what follows turn `seq`, at most `turns_max` turns, for an exporter; gives the first turn there is."""
        return int(await self._functions.call(b"nx_export", seq, turns_max))

    async def newest_snapshot(self) -> int:
        """The turn of the newest snapshot, 0 if there is none."""
        return int(await self._writer.call(b"HGET", self.keys.meta, b"snap") or 0)

    async def write_frame(self, blob: bytes, drain_tasks_s: float = 0.0) -> None:
        """Replace the picture of the state, and how fast the queue is predicted to drain."""
        await asyncio.gather(
            self._writer.call(b"SET", self.keys.frame, blob),
            self._writer.call(b"HSET", self.keys.meta, b"drain", f"{drain_tasks_s:.3f}"),
        )

    async def health(self) -> StoreHealth:
        """What is wrong with the server, for people."""
        return await self._watch.look()

    async def history(self) -> History:
        """Whose writes the store holds, and whose it held when the shard was led before."""
        return await self._watch.history()

    # -- beyond the port: what people look at

    async def dead_letters(self, after: str, count: int) -> list[RawEntry]:
        """Up to `count` dead letters behind entry `after`; fields i(d), a(ttempt), y (reason), w(orker), d(etail)."""
        entries: list[RawEntry] = await self._writer.call(b"XRANGE", self.keys.dead, f"({after}", b"+", b"COUNT", count)
        return entries


def _seldom(plan: CommitPlan) -> list[Argument]:
    """What most turns have none of: ends, retracts and stops, each behind their number."""
    arguments: list[Argument] = [len(plan.ends)]
    for end in plan.ends:
        detail = end.detail.encode(errors="replace")  # it may quote what a hostile entry held
        arguments += (b"D" if end.dead else b"C", end.task_id, end.attempt, end.reason.value, end.worker, detail)
    arguments.append(len(plan.retracts))
    arguments += chain.from_iterable(plan.retracts)
    arguments.append(len(plan.stops))
    arguments += chain.from_iterable(plan.stops)
    return arguments


def _counter(score: bytes) -> int:
    """A score is printed as an integer up to 2**52, in scientific notation beyond."""
    try:
        return int(score)
    except ValueError:
        return int(float(score))
