"""The turn loop: inputs -> engine -> one atomic commit, two commits in flight.

A turn is as long as the inputs that wait: immediate when idle, batched under load. The engine runs ahead of
the store by at most `IN_FLIGHT_MAX` turns. Whatever a commit answers but success ends the leadership: the
journal says what was applied, and recovery starts from there, so no other path has to know about lost
replies, restarts or roll-backs. A turn is also taken when something in the engine is due (`next_due_ms`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from nexus_sched.core.engine import Engine
from nexus_sched.core.forecasts import BASELINE
from nexus_sched.errors import PredictorUnkept
from nexus_sched.model.effects import AnyEffect, Noticed
from nexus_sched.model.events import AnyEvent, EpochBegan, ModeChanged, PredictorChosen, ReloadRequested
from nexus_sched.model.journal import FORMAT, Turn, encode_turn
from nexus_sched.model.settings import EngineSettings
from nexus_sched.runtime.checkpoints import QUIET_S, Checkpoints
from nexus_sched.runtime.clock import NS_PER_S, Clock, TurnClock
from nexus_sched.runtime.gauges import LogHistogram
from nexus_sched.runtime.guard import Guard
from nexus_sched.runtime.intake import Inputs
from nexus_sched.runtime.plan import plan_commit
from nexus_sched.runtime.ports import LeaderStore, Lease
from nexus_sched.runtime.recovery import Recovered
from nexus_sched.runtime.tally import Tally
from nexus_sched.units import NS_PER_MS
from nexus_sched.version import VERSION

log = structlog.get_logger("nexus_sched.scheduler")

IN_FLIGHT_MAX = 2
DIGEST_EVERY = 1_024
ALARM_PAUSE_NS = 1_000_000  # between two turns that nothing but the clock asked for
ALARM_S_MAX = 1.0
TOLD_MAX = 20  # lines in a second: each takes as long as a decision or two


class TurnLoop:
    """Drives one engine through one epoch."""

    def __init__(
        self,
        store: LeaderStore,
        lease: Lease,
        state: Recovered,
        inputs: Inputs,
        guard: Guard,
        clock: Clock,
        confirm_lease: Callable[[Lease], Awaitable[None]],
        tally: Tally | None = None,
    ) -> None:
        self.engine: Engine = state.engine
        self.tally = tally or Tally()
        self.decision_ns = LogHistogram()
        self.turn_ns = LogHistogram()
        self.seq_began = state.engine.seq  # the last turn before this epoch
        self.seq_written = 0  # the last turn that the store has confirmed, 0 before the first
        self.on_reload: Callable[[], object] = lambda: None  # somebody wants the configuration to be read again
        self._store = store
        self._lease = lease
        self._cursors = state.cursors
        self._inputs = inputs
        self._guard = guard
        self._turn_clock = TurnClock(clock, state.at_ns)
        self._confirm_lease = confirm_lease
        self._in_flight: deque[asyncio.Future[int]] = deque()
        self._stopping = False
        self._checkpoints = Checkpoints(store, lease, state, clock, inputs.arrived.set)
        self._last_turn = b""
        self._told = self._told_in_s = 0  # notices in the current second
        self._at_ns = state.at_ns

    def stop(self) -> None:
        """Take no more turns; `run` returns once everything decided is written."""
        self._stopping = True
        self._inputs.arrived.set()

    async def run(self, settings: EngineSettings) -> None:
        """Lead until `stop`. Raises `Fenced`, `SequenceMismatch`, another `StoreError`, or `EngineFault`."""
        try:
            await self._lead(settings)
        finally:
            for reply in self._in_flight:  # after a fault: what became of them is read from the journal
                reply.cancel()
            self._checkpoints.cancel()

    async def _lead(self, settings: EngineSettings) -> None:
        self._take_turn([EpochBegan(self._lease.epoch, self._lease.owner, settings, VERSION)], {})
        await self._settle(0)
        while not self._stopping:
            await self._wait_for_work()
            if len(self._in_flight) >= IN_FLIGHT_MAX:
                await self._settle(IN_FLIGHT_MAX - 1)
            if self._stopping:
                break
            await self._confirm_lease(self._lease)
            events, cursors = self._inputs.take()
            if events or cursors or self.engine.ready or self._next_due_s() == 0.0:
                self._take_turn(self._guard.screen(events), cursors)
            # the commit has been handed to the socket; let it, the reader and the replies have the loop
            await asyncio.sleep(0)
            if self._checkpoints.due(quiet=False):
                await self._bound_recovery(quiet=False)
        await self._settle(0)
        await self._checkpoints.finish()

    async def _wait_for_work(self) -> None:
        loop, checkpoints = asyncio.get_running_loop(), self._checkpoints
        quiet_at_s = loop.time() + QUIET_S
        while not (self._inputs or self.engine.ready or self._stopping):
            due_s = self._next_due_s()
            if due_s == 0.0:
                return
            self._inputs.arrived.clear()
            while self._in_flight and self._in_flight[0].done():
                await self._settle(len(self._in_flight) - 1)
            checkpoints.check()
            if checkpoints.due(quiet=True):
                quiet_in_s = quiet_at_s - loop.time()
                if quiet_in_s <= 0.0:
                    await self._bound_recovery(quiet=True)
                    continue
                due_s = quiet_in_s if due_s is None else min(due_s, quiet_in_s)
            if due_s is None:
                await self._inputs.arrived.wait()
                continue
            alarm = loop.call_later(due_s, self._inputs.arrived.set)
            try:
                await self._inputs.arrived.wait()
            finally:
                alarm.cancel()

    def _next_due_s(self) -> float | None:
        """How long until the engine wants a turn even if nothing arrives, `None` for never.

        At most `ALARM_S_MAX`, after which it is asked again: the wall clock, which says what is due, may jump while
        the loop's own clock, which wakes us, does not.
        """
        due_ms = self.engine.next_due_ms
        if due_ms is None:
            return None
        # What is still due after a turn was overlooked by that turn: it must not keep the processor busy.
        due_ns = max(due_ms * NS_PER_MS, self._at_ns + ALARM_PAUSE_NS)
        left_ns = due_ns - self._turn_clock.next_ns()
        return 0.0 if left_ns <= 0 else min(max(left_ns, ALARM_PAUSE_NS) / NS_PER_S, ALARM_S_MAX)

    def _take_turn(self, events: list[AnyEvent], cursors: dict[str, str]) -> None:
        engine = self.engine
        at_ns = self._turn_clock.next_ns()
        before = engine.counters["dispatched"]
        self.tally.before(engine.tasks, events)
        started_ns = time.perf_counter_ns()
        effects = self._guard.handle(engine, events, at_ns)
        self._inputs.one_by_one = self._inputs.one_by_one and self._guard.careful
        spent_ns = time.perf_counter_ns() - started_ns
        self.turn_ns.observe(spent_ns)
        decisions = engine.counters["dispatched"] - before
        if decisions:
            self.decision_ns.observe(spent_ns / decisions, decisions)
            self.tally.after(effects, spent_ns, decisions)
        for event in events:
            if type(event) is ModeChanged:
                self.decision_ns.clear()
                self.turn_ns.clear()
            elif type(event) is ReloadRequested:
                self.on_reload()
        if engine.noticed:
            self._tell(effects, at_ns)
        digest = engine.digest() if engine.seq % DIGEST_EVERY == 0 else None
        turn = encode_turn(Turn(FORMAT, engine.seq, engine.epoch, at_ns, events, effects, cursors, digest))
        self._last_turn = turn
        commit = self._store.commit(self._lease, engine.seq - 1, plan_commit(turn, effects, cursors))
        reply = asyncio.ensure_future(commit)
        reply.add_done_callback(self.tally.commit())
        reply.add_done_callback(self._replied)
        self._in_flight.append(reply)
        self._cursors.update(cursors)
        self._at_ns = at_ns
        self._checkpoints.journaled(max(1, len(events) + decisions))  # a turn of the clock is replayed too

    def _replied(self, _: asyncio.Future[int]) -> None:
        self._inputs.arrived.set()  # somebody may wait for this, and nobody for anything else

    def _tell(self, effects: list[AnyEffect], at_ns: int) -> None:
        """Log what people should hear of, the first `TOLD_MAX` of a second; the journal has all of it."""
        second_s = at_ns // NS_PER_S
        if second_s != self._told_in_s:
            if self._told > TOLD_MAX:
                log.warning("noticed more", count=self._told - TOLD_MAX, seq=self.engine.seq)
            self._told_in_s, self._told = second_s, 0
        for effect in effects:
            if type(effect) is Noticed:
                self._told += 1
                if self._told <= TOLD_MAX:
                    log.warning("noticed", kind=effect.kind, detail=effect.detail, seq=self.engine.seq)

    async def _settle(self, left: int) -> None:
        """Wait until at most `left` commits are in flight. Raises what a commit raises."""
        while len(self._in_flight) > left:
            self.seq_written = await self._in_flight.popleft()

    def _end_part_of(self, fault: PredictorUnkept) -> None:
        """Choose, as an operator would, to do without a predictor that no successor could be given."""
        if not fault.shadow and self.engine.forecasts.baseline is None:
            raise fault  # nobody could take over
        log.warning("noticed", kind="unkept", detail=str(fault), seq=self.engine.seq)
        leaving: list[AnyEvent] = [PredictorChosen("", shadow=True)]  # where the former active one goes as well
        self._inputs.feed(leaving if fault.shadow else [PredictorChosen(BASELINE), *leaving])

    async def _bound_recovery(self, *, quiet: bool) -> None:
        """Begin a checkpoint, unless a standby wrote one that leaves little to replay."""
        if await self._checkpoints.still_due(quiet=quiet):
            try:
                self._checkpoints.begin(self._cursors, self._at_ns, self._in_flight[-1] if self._in_flight else None)
            except PredictorUnkept as fault:
                self._end_part_of(fault)

    async def bequeath(self, *, surely: bool = False) -> None:
        """After `run`: leave a checkpoint, so that whoever comes next need not replay; `surely`: or could not."""
        await self._checkpoints.bequeath(self._last_turn, self._cursors, self._at_ns, surely=surely)
