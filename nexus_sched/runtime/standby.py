"""A standby: an engine that is kept warm by the journal of whoever leads.

Laws of this file:
  1. Recorded turns are handled again by the very code of a recovery (`recovery.apply`), which compares their effects
     each time and the digest wherever one is recorded. The first difference voids the engine; it is loaded anew from
     a snapshot and the journal behind it. That is counted and logged, and never ends anything.
  2. Before it goes on, a standby looks whether the journal still holds the turn that it applied last. If not, the
     store went back in time, or the journal was cut before the standby had read it.
  3. One look does a bounded amount of work and then gives the loop to others; one engine is all that is held.
  4. Snapshots that a standby offers carry the turn that they follow, so the store takes none of another history. A
     leader that sees them appear leaves writing them to the standby.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.errors import NexusError, PredictorUnkept, StoreError
from nexus_sched.model.events import EpochBegan
from nexus_sched.model.journal import decode_turn
from nexus_sched.runtime.clock import Clock
from nexus_sched.runtime.ports import LeaderStore
from nexus_sched.runtime.recovery import Recovered, apply, compress_aside, encode_checkpoint, newest_checkpoint
from nexus_sched.version import VERSION

LOOK_EVERY_S = 0.1
LOOK_TURNS_MAX = 64  # in one read; a turn has up to 512 events
LOOK_WORK_S_MAX = 0.02  # the leader of another shard may share this process
SNAPSHOT_EVENTS = 5_000  # applied since the last one; a start from cold replays them in 50 ms or so
SNAPSHOT_PAUSE_S = 5.0  # one of 100,000 tasks takes 70 ms of this loop, and 1.3 MB of the store's own log
RELOAD_PAUSE_FIRST_S, RELOAD_PAUSE_MAX_S = 0.1, 60.0

log = structlog.get_logger("nexus_sched.scheduler")


class _Void(NexusError):
    """What the engine was built from is not what the journal holds."""

    code = "STANDBY_VOID"


class Standby:
    """Follows the journal of one shard until the shard is led from here."""

    def __init__(self, store: LeaderStore, predictors: Mapping[str, PredictorFactory], clock: Clock) -> None:
        self.divergences = 0  # turns that did not come out as recorded
        self.reloads = 0  # engines that were given up, for whatever reason
        self.born_seen = ""  # the beginning of the shard, as it was first seen; another one is another shard
        self.seq_seen = 0  # the furthest turn that this shard was ever seen at: one at none now has lost its state
        self._store = store
        self._predictors = predictors
        self._clock = clock
        self._state: Recovered | None = None
        self._last = b""  # the turn applied last, as it was recorded; empty behind a snapshot
        self._covered_seq = 0  # the turn of the newest snapshot that is known
        self._uncovered_events = 0
        self._snapshot_not_before_s = 0.0
        self._pause_s = RELOAD_PAUSE_FIRST_S
        self._voided_at = 0  # the furthest turn at which an engine was given up

    @property
    def seq(self) -> int | None:
        """The turn that the warm engine has reached, `None` without one."""
        return None if self._state is None else self._state.engine.seq

    async def follow(self) -> None:
        """Follow until cancelled. Raises nothing: a standby that cannot follow is only not warm."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                while await self._look():
                    await asyncio.sleep(0)
                await self._offer_snapshot()
            except StoreError:
                continue  # the next look may find the store again
            except NexusError as error:
                await self._give_up(error)

    async def take_over(self, seq: int) -> Recovered | None:
        """The state after turn `seq`, the last one; `None` if it has to be recovered. Raises `StoreError`.

        `follow` must have been cancelled.
        """
        try:
            while self._state is not None and await self._look():
                pass
        except StoreError:
            raise
        except NexusError as error:
            log.warning("standby void", code=error.code, error=str(error), seq=self.seq)
            return None
        state, self._state = self._state, None
        if state is None or state.engine.seq != seq:
            return None
        state.replayed = seq - self._covered_seq
        return state

    # -- following

    async def _look(self) -> bool:
        """Apply what is new; `True` if there may be more. Raises `StoreError`, or what voids the engine."""
        state = self._state
        if state is None:
            state = self._state = await newest_checkpoint(self._store, self._predictors)
            self._last, self._covered_seq, self._uncovered_events = b"", state.engine.seq, 0
            self.seq_seen = max(self.seq_seen, state.engine.seq)
        seq = state.engine.seq
        page = await self._store.journal(seq - 1 if self._last else seq, LOOK_TURNS_MAX)
        full = len(page) == LOOK_TURNS_MAX
        if self._last:
            if not page:
                raise _Void(f"the journal ends before turn {seq}, which was applied")
            number, blob = page[0]
            if number == seq:
                if blob != self._last:
                    raise _Void(f"turn {seq} is another one than was applied")
                del page[0]
        began_s = self._clock.monotonic_s()
        for number, blob in page:
            if state.followed and await self._can_be_exact(state, blob):
                self._state = None
                return True
            if number != state.engine.seq + 1:
                raise _Void(f"the journal goes on at turn {number}, turn {state.engine.seq} was applied last")
            self._apply(state, blob)
            self.seq_seen = max(self.seq_seen, number)
            if self._clock.monotonic_s() - began_s > LOOK_WORK_S_MAX:
                return True
        self.born_seen = self.born_seen or state.engine.born
        return full

    async def _can_be_exact(self, state: Recovered, blob: bytes) -> bool:
        """Whether a leader of this version begins with this turn, and has left the snapshot that it begins from."""
        turn = decode_turn(blob)
        began = turn.events[0] if turn.events else None
        if not isinstance(began, EpochBegan) or began.version != VERSION:
            return False
        return await self._store.newest_snapshot() >= state.engine.seq

    def _apply(self, state: Recovered, blob: bytes) -> None:
        try:
            turn = decode_turn(blob)
            apply(state, turn)
        except Exception as error:  # whatever the engine raised, the leader's did not: another version, or a defect
            self.divergences += 1
            raise _Void(f"turn {state.engine.seq}: {type(error).__name__}: {error}") from error
        self._last = blob
        self._uncovered_events += max(1, len(turn.events) + len(turn.effects))

    async def _give_up(self, error: NexusError) -> None:
        """Load anew at the next look; the pause grows while the same turn cannot be passed."""
        reached = self.seq or 0
        if reached > self._voided_at:
            self._voided_at, self._pause_s = reached, RELOAD_PAUSE_FIRST_S
        log.warning(
            "standby void", code=error.code, error=str(error), seq=self.seq, retry_ms=round(self._pause_s * 1e3)
        )
        self._state, self._uncovered_events = None, 0
        self.reloads += 1
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, RELOAD_PAUSE_MAX_S)

    # -- snapshots

    async def _offer_snapshot(self) -> None:
        """Write the state down if enough has happened since anybody did."""
        state, now_s = self._state, self._clock.monotonic_s()
        if state is None or self._uncovered_events < SNAPSHOT_EVENTS or now_s < self._snapshot_not_before_s:
            return
        if state.followed:
            return  # the turns to come are of another version, and would not come out the same from this state
        self._snapshot_not_before_s = now_s + SNAPSHOT_PAUSE_S
        seq, turn = state.engine.seq, self._last
        try:
            blob = encode_checkpoint(state.engine, state.cursors, state.at_ns)
        except PredictorUnkept:
            return  # the leader will find out and do without the predictor
        self._uncovered_events = 0
        if await self._store.offer_snapshot(seq, turn, await compress_aside(blob)):
            self._covered_seq = seq
        else:
            self._covered_seq = max(self._covered_seq, await self._store.newest_snapshot())
