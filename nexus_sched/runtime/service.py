"""The scheduler as a service: take the lease, recover, lead, hand over; and again after every fault.

One path for all faults: whatever goes wrong while leading (a lost reply, a fenced write, a restarted server,
an engine that raised), the engine is dropped, and the next leadership starts from the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from msgspec import Struct

from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.errors import NexusError, StateLost, StoreError, StoreUnsuitable, VersionsDiffer
from nexus_sched.model.events import AnyEvent, SettingsChanged, StoreChanged
from nexus_sched.model.frame import encode_frame
from nexus_sched.model.settings import EngineSettings
from nexus_sched.runtime.beats import Beats, listen
from nexus_sched.runtime.budget import BudgetWatch
from nexus_sched.runtime.clock import Clock, SystemClock
from nexus_sched.runtime.guard import EngineFault, Guard
from nexus_sched.runtime.health import Health
from nexus_sched.runtime.intake import Inputs
from nexus_sched.runtime.liveness import Heartbeats, watch
from nexus_sched.runtime.ownership import Ownership
from nexus_sched.runtime.picture import paint
from nexus_sched.runtime.ports import LeaderStore, Lease
from nexus_sched.runtime.recovery import Recovered, compress_aside, encode_checkpoint, recover
from nexus_sched.runtime.standby import Standby
from nexus_sched.runtime.tally import Tally
from nexus_sched.runtime.turn import TurnLoop
from nexus_sched.units import MS_PER_S, NS_PER_MS

FRAME_EVERY_S = 0.5
RETRY_FIRST_S, RETRY_MAX_S = 0.05, 1.0
DEBT_LEASES = 2  # times the lease that a process which is to end waits for it, to leave its state
ROLLBACK_GRACE_S = 0.5  # workers send the results of the last seconds again, which the store has forgotten

log = structlog.get_logger("nexus_sched.scheduler")

Follower = Callable[[Lease], Awaitable[None]]  # runs beside the turn loop until it is cancelled


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """What the service needs to know besides the engine's settings."""

    pool: str = "default"
    shard: int = 0
    owner: str
    lease_ms: int = 1_000
    suspect_ms: int = 2_000
    dead_ms: int = 5_000


class Service:
    """One shard's scheduler in this process."""

    def __init__(
        self,
        store: LeaderStore,
        settings: ServiceSettings,
        engine_settings: EngineSettings,
        predictors: Mapping[str, PredictorFactory],
        followers: Sequence[Follower] = (),
        clock: Clock | None = None,
        is_dead: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._store = store
        self._settings = settings
        self._engine_settings = engine_settings
        self._budget = BudgetWatch(engine_settings.fallback_threshold)
        self._predictors = self._budget.over_all(predictors)
        self._followers = followers
        self._clock = clock or SystemClock()
        self._is_dead = is_dead
        self._guard = Guard()
        self._health = Health(store)
        self._beats = Beats(settings.suspect_ms / MS_PER_S)
        self._tally = Tally(self._clock.wall_ns() // NS_PER_MS)
        self.standby = Standby(store, self._predictors, self._clock)
        self.on_reload: Callable[[], object] = lambda: None  # wanted by a command; called within a turn
        self._stop = asyncio.Event()
        self._for_other_version = False
        self._owes_state = False  # it led, and a fault ended that before it could leave its state
        self._loop: TurnLoop | None = None
        self._feed: Callable[[list[AnyEvent]], None] | None = None  # to the turns that are being taken
        self._news: list[AnyEvent] = []  # what the next turns have to write down
        self._seq_written = 0  # the last turn that this process wrote, and knows to be in the store
        self.leading = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def seq_seen(self) -> int:
        """The furthest turn that the shard was seen at, here or by `remember`; 0 if it never had one."""
        return max(self._seq_written, self.standby.seq_seen)

    @property
    def born_seen(self) -> str:
        """The beginning of the shard, as it was first seen, here or by `remember`; empty if it never was."""
        return self.standby.born_seen

    def remember(self, seq: int, born: str) -> None:
        """This process has seen the shard at turn `seq` before: it cannot be an empty one, nor one that began later."""
        self.standby.seq_seen = max(self.standby.seq_seen, seq)
        self.standby.born_seen = self.standby.born_seen or born

    @property
    def seq(self) -> int:
        """The turn that the engine has reached while it leads; 0 before that."""
        return 0 if self._loop is None else self._loop.engine.seq

    def stop(self, *, for_other_version: bool = False) -> None:
        """Hand over gracefully: finish the turns in flight, release the lease, leave a checkpoint.

        `for_other_version`: the checkpoint comes first, because whoever leads next may not be able to do without.
        """
        self._for_other_version = for_other_version
        self._stop.set()
        if self._loop is not None:
            self._loop.stop()

    def reconfigure(self, settings: EngineSettings, actor: str) -> None:
        """Run with other settings from now on, leading or not. `actor` says in the journal who wants it."""
        self._engine_settings = settings
        self._budget.threshold = settings.fallback_threshold
        if self._feed is not None:
            self._feed([SettingsChanged(settings, actor)])

    async def run(self) -> None:
        """Serve until `stop`. Raises what no retry can mend: `StateLost`, `StoreUnsuitable`, a defect."""
        delay_s = RETRY_FIRST_S
        while not self._stop.is_set():
            try:
                await self._lead_once()
                delay_s = RETRY_FIRST_S
            except (StateLost, StoreUnsuitable):
                raise
            except (StoreError, EngineFault) as error:
                if self._loop is not None:
                    delay_s = RETRY_FIRST_S  # it had been leading: the fault is new
                self._loop = None
                log.warning("leadership ended", code=error.code, error=str(error), retry_ms=round(delay_s * 1_000))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)
        if self._for_other_version and self._owes_state:
            await self._settle_debt()

    async def _lead_once(self) -> None:
        ownership = self._ownership()
        lease = await self._stand_by(ownership)
        if lease is None:
            return
        keeper = asyncio.ensure_future(ownership.keep(lease))
        try:
            await self._check_progress(lease)
            state, warm = await self._state_at(lease)
            await self._recognise(lease, state.engine.born)
            log.info(
                "leading",
                epoch=lease.epoch,
                seq=lease.seq,
                warm=warm,
                replayed_turns=state.replayed,
                live_tasks=len(state.engine.tasks),
            )
            inputs = Inputs(self._store, state.cursors, one_by_one=self._guard.careful, prepare=self._predictors.get)
            loop = TurnLoop(self._store, lease, state, inputs, self._guard, self._clock, ownership.confirm, self._tally)
            self._loop = loop
            loop.on_reload = self.on_reload
            if self._news:
                inputs.feed(list(self._news))
            self._budget.feed = self._feed = inputs.feed
            if self._stop.is_set():
                loop.stop()
            try:
                await self._run_beside(loop, lease, inputs, keeper)
            finally:
                self._seq_written = loop.seq_written or lease.seq
                if self._seq_written:
                    self.standby.born_seen = loop.engine.born
                if self._seq_written > lease.seq + 1:  # behind the turn that began the epoch is the one with the news
                    self._news.clear()
        finally:
            self._owes_state = self.leading.is_set() or self._owes_state
            self.leading.clear()
            self._budget.feed = self._feed = None
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        self._loop = None
        if self._for_other_version:
            await loop.bequeath(surely=True)
        self._owes_state = False
        await self._store.release(lease)
        log.info("handed over", epoch=lease.epoch, seq=loop.engine.seq)
        if not self._for_other_version:
            await loop.bequeath()

    async def _settle_debt(self) -> None:
        """Leave the state behind the last turn after all: whoever comes next may be unable to take our turns again.

        Whoever keeps the lease meanwhile leads, so it has come past our turns.
        """
        try:
            async with asyncio.timeout(DEBT_LEASES * self._settings.lease_ms / MS_PER_S):
                lease = await self._ownership().acquire()
            state = await recover(self._store, self._predictors, lease.seq)
            await self._write_down(lease, state)
            await self._store.release(lease)
            log.info("state left", seq=lease.seq)
        except (NexusError, TimeoutError) as error:
            log.warning("no state was left", error=str(error) or "not in time")

    def _ownership(self) -> Ownership:
        settings = self._settings
        return Ownership(self._store, self._clock, settings.owner, settings.lease_ms, self._is_dead, self._beats)

    async def _check_progress(self, lease: Lease) -> None:
        """Look whether the store is where, and what, it was seen to be. Raises `StateLost` if it is empty."""
        seen = self.seq_seen
        if lease.seq == 0 < seen:
            await self._store.release(lease)
            raise StateLost(f"the shard was at turn {seen} and is empty now")
        history = await self._store.history()
        changed = history.was not in ("", history.now)
        if changed or lease.seq < seen:
            self._news.append(StoreChanged(history.was, history.now, max(seen, lease.seq), lease.seq))
        if changed:
            log.warning("store changed", was=history.was, now=history.now)
        if lease.seq < seen:
            log.error("store went back", from_seq=seen, to_seq=lease.seq, grace_ms=round(ROLLBACK_GRACE_S * 1_000))
            self._seq_written = self.standby.seq_seen = lease.seq
            await asyncio.sleep(ROLLBACK_GRACE_S)

    async def _recognise(self, lease: Lease, born: str) -> None:
        """Raises `StateLost` if it is another shard than the one that was seen: somebody who was new began it anew."""
        seen = self.standby.born_seen
        if seen and born and born != seen:
            await self._store.release(lease)
            raise StateLost(f"the shard was begun anew by {born}; the one that was here before, by {seen}, is gone")

    async def _state_at(self, lease: Lease) -> tuple[Recovered, bool]:
        """What to go on from, and whether it was kept warm.

        A state that came about by following another version is written down first, unless that one has left its own:
        what follows must be reproducible from a snapshot. Raises `StateLost` only if the lease is still ours: else the
        store may have gone back once more since it was taken, and what is missing belongs to a history that is no more.
        Raises `VersionsDiffer` after giving the lease back, for whoever is of the version that led last.
        """
        state, warm = await self.standby.take_over(lease.seq), True
        if state is None or (state.followed and await self._store.newest_snapshot() == lease.seq):
            try:
                state, warm = await recover(self._store, self._predictors, lease.seq), False
            except StateLost:
                await self._store.renew(lease)
                raise
            except VersionsDiffer:
                await self._store.release(lease)
                raise
        if state.followed:
            followed, state.replayed = state.replayed, 0  # behind the snapshot there is nothing to be taken again
            log.warning(
                "goes on from what another version decided", version=state.version, seq=lease.seq, followed=followed
            )
            await self._write_down(lease, state)
        return state, warm

    async def _write_down(self, lease: Lease, state: Recovered) -> None:
        blob = await compress_aside(encode_checkpoint(state.engine, state.cursors, state.at_ns))
        await self._store.save_snapshot(lease, lease.seq, blob)

    async def _stand_by(self, ownership: Ownership) -> Lease | None:
        """Follow whoever leads until the lease is ours; `None` if it is time to stop."""
        listening = listen(self._store, self._clock, self._beats, self._settings.suspect_ms)
        beside = [asyncio.ensure_future(each) for each in (self.standby.follow(), listening)]
        try:
            return await self._unless_stopped(ownership.acquire())
        finally:
            for each in beside:
                each.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _run_beside(self, loop: TurnLoop, lease: Lease, inputs: Inputs, keeper: asyncio.Future[None]) -> None:
        """Run the turn loop; the first of the tasks beside it that fails ends it."""
        settings = self._settings
        turns = asyncio.ensure_future(loop.run(self._engine_settings))
        roster, tasks = loop.engine.roster, loop.engine.tasks
        suspects = [worker.name for worker in roster.ring if worker.suspect]
        holders = [record.worker for record in tasks.values() if record.booking is not None]
        holders += [worker.name for worker in roster.ring]
        suspect_s, dead_s = settings.suspect_ms / MS_PER_S, settings.dead_ms / MS_PER_S
        heartbeats = Heartbeats(suspect_s, dead_s, suspects, roster.silence_s, self._beats)
        beside = [
            asyncio.ensure_future(inputs.read()),
            asyncio.ensure_future(
                watch(
                    *(self._store, lease, self._clock, heartbeats, settings.suspect_ms, inputs.feed, holders),
                    departed=loop.engine.departed,
                )
            ),
            asyncio.ensure_future(self._show(loop, lease, heartbeats)),
            asyncio.ensure_future(self._health.watch()),
            *(asyncio.ensure_future(follower(lease)) for follower in self._followers),
        ]
        self.leading.set()
        try:
            await asyncio.wait((turns, keeper, *beside), return_when=asyncio.FIRST_COMPLETED)
            for task in (keeper, *beside):
                if task.done() and not self._stop.is_set():
                    task.result()
            await turns
        finally:
            for task in (turns, *beside):
                task.cancel()
            await asyncio.gather(turns, *beside, return_exceptions=True)

    async def _show(self, loop: TurnLoop, lease: Lease, heartbeats: Heartbeats) -> None:
        while True:
            frame = paint(self._settings.pool, self._settings.shard, lease, loop, self._clock.wall_ns() // NS_PER_MS)
            frame = self._health.show(frame, heartbeats)
            with contextlib.suppress(StoreError):
                await self._store.write_frame(encode_frame(frame), frame.drain_tasks_s)
            due_s = asyncio.get_running_loop().time() + FRAME_EVERY_S
            await asyncio.sleep(FRAME_EVERY_S)
            self._tally.loop_lag_ms = (asyncio.get_running_loop().time() - due_s) * MS_PER_S

    async def _unless_stopped(self, acquiring: Awaitable[Lease]) -> Lease | None:
        task = asyncio.ensure_future(acquiring)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for future in (task, stopped):
                future.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)
