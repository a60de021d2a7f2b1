"""What a leader writes down beside its turns, so that whoever comes next need not replay what led here.

Laws of this file:
  1. Only encoding a state happens between two turns; packing and sending it happens beside them. A checkpoint is sent
     once the store has confirmed the turn that it follows, and a failure to write it ends the leadership.
  2. Small checkpoints are for quiet moments: a state is encoded in a few milliseconds, for which arrivals would wait.
     While there is no quiet moment, one is written every few seconds, and earlier when replaying would take about half
     a second.
  3. A standby that writes snapshots spares the leader the work, as long as it keeps up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from nexus_sched.core.engine import Engine
from nexus_sched.errors import PredictorUnkept, StoreError
from nexus_sched.runtime.clock import Clock
from nexus_sched.runtime.ports import LeaderStore, Lease
from nexus_sched.runtime.recovery import Recovered, compress_aside, encode_checkpoint

CHECKPOINT_EVENTS = 20_000  # journaled since the last one: what a recovery replays at most, about half a second
CHECKPOINT_IDLE_EVENTS = 2_000  # enough to write one in a quiet moment, or after a while
CHECKPOINT_PAUSE_S = 5.0  # with 100,000 tasks one takes 70 ms
QUIET_S = 0.1  # without any input

log = structlog.get_logger("nexus_sched.scheduler")


class Checkpoints:
    """The checkpoints of one leadership. `wake` is called when one has been written, or has failed."""

    def __init__(
        self, store: LeaderStore, lease: Lease, state: Recovered, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._store = store
        self._lease = lease
        self._engine: Engine = state.engine
        self._clock = clock
        self._wake = wake
        since_s = CHECKPOINT_PAUSE_S if state.replayed else 0.0  # who had to replay may be killed again
        self._begun_at_s = clock.monotonic_s() - since_s  # the last one
        self._uncovered_events = state.replayed  # journaled since the newest snapshot, at least
        self._snapshot_seq = state.engine.seq - state.replayed  # the newest snapshot that is known
        self._standby_writes = False  # the newest one is not ours
        self._writing: asyncio.Future[None] | None = None

    def journaled(self, events: int) -> None:
        """A turn is on its way to the journal."""
        self._uncovered_events += events

    def due(self, *, quiet: bool) -> bool:
        """Whether one should be begun now."""
        if self._writing is not None or self._uncovered_events < CHECKPOINT_IDLE_EVENTS:
            return False
        if self._uncovered_events >= CHECKPOINT_EVENTS:
            return True
        rested = self._clock.monotonic_s() - self._begun_at_s >= CHECKPOINT_PAUSE_S
        return (quiet or rested) and not self._standby_writes

    async def still_due(self, *, quiet: bool) -> bool:
        """The same, after a look for one that a standby has written. Raises `StoreError`."""
        newest = await self._store.newest_snapshot()
        if newest > self._snapshot_seq:
            seq = self._engine.seq
            turns, left = seq - self._snapshot_seq, seq - newest
            self._uncovered_events = self._uncovered_events * left // max(1, turns)  # as if turns were alike
            self._snapshot_seq, self._standby_writes = newest, True
        return self.due(quiet=quiet)

    def begin(self, cursors: Mapping[str, str], at_ns: int, commit: asyncio.Future[int] | None) -> None:
        """Encode the state as it is, to be written when `commit`, the last one, has succeeded.

        Raises `PredictorUnkept`.
        """
        seq, self._begun_at_s = self._engine.seq, self._clock.monotonic_s()
        blob = encode_checkpoint(self._engine, cursors, at_ns)
        self._uncovered_events, self._snapshot_seq, self._standby_writes = 0, seq, False
        self._writing = asyncio.ensure_future(self._write(seq, blob, commit))
        self._writing.add_done_callback(self._written)

    async def _write(self, seq: int, blob: bytes, commit: asyncio.Future[int] | None) -> None:
        packed = await compress_aside(blob)
        if commit is not None:
            await asyncio.wait((commit,))
            if commit.cancelled() or commit.exception() is not None:
                return  # the turn loop hears of it
        await self._store.save_snapshot(self._lease, seq, packed)

    def _written(self, _: asyncio.Future[None]) -> None:
        self._wake()

    def check(self) -> None:
        """Raises what went wrong with one that was begun."""
        if self._writing is not None and self._writing.done():
            writing, self._writing = self._writing, None
            writing.result()

    async def finish(self) -> None:
        """Wait for one that was begun. Raises what went wrong with it."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))
            self.check()

    def cancel(self) -> None:
        """Let go of one that was begun."""
        if self._writing is not None:
            self._writing.cancel()

    async def bequeath(self, turn: bytes, cursors: Mapping[str, str], at_ns: int, *, surely: bool = False) -> None:
        """Leave one without a lease; `turn` is the last one as it was recorded.

        Whoever leads by now does not wait for it, and if it was a standby, it needs none; unless it is of another
        version, which may be unable to take the turns of this one again (`surely`). The journal has everything, so a
        failure is only told.
        """
        if not turn or not (surely or (self._uncovered_events and not self._standby_writes)):
            return
        seq = self._engine.seq
        try:
            blob = await compress_aside(encode_checkpoint(self._engine, cursors, at_ns))
            await self._store.offer_snapshot(seq, turn, blob)
        except (PredictorUnkept, StoreError) as error:
            log.warning("no checkpoint was left", code=error.code, error=str(error), seq=seq)
