"""One process of several that share the shards of all pools: which of them it leads, stands by for, or leaves alone.

Laws of this file:
  1. Who should do what is a preference (`sharding.spread`), read from the registry; who does is decided by the lease of
     each shard alone. A registry that is wrong, slow or gone delays moving shards, and never leading them.
  2. A shard is handed over only while shards are led unevenly, to whoever should lead it, and only once that one stands
     by with a warm engine; one shard at a time, and not while replicas come and go (`sharding.roll`). Handing over is
     the graceful stop of a service: nothing is requeued.
  3. A shard that this process should neither lead nor stand by for costs it only the memory of where it was seen: one
     that has been emptied since is not begun anew.
  4. All shards share one event loop. A turn, and a look of a standby, is bounded, and gives the loop to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog
from msgspec import Struct

from nexus_sched.errors import StoreError, StoreLoading, StoreUnreachable
from nexus_sched.model.replica import Announcement, ShardId, encode_announcement
from nexus_sched.model.settings import EngineSettings
from nexus_sched.runtime.clock import Clock, SystemClock
from nexus_sched.runtime.pool_ports import RegistryStore
from nexus_sched.runtime.service import Service
from nexus_sched.sharding.roll import Roll
from nexus_sched.sharding.spread import Ranks, spread
from nexus_sched.version import VERSION

BEAT_S = 0.5
FIRST_LOOK_S = 1.0  # for the registry to answer, before it is done without
WITHDRAW_TIMEOUT_S = 0.5
YIELD_S = 1.5  # after a hand-over: whoever should take the shard has looked for its lease several times
MOVE_PAUSE_S = 1.0  # between two shards that one replica hands over
OPEN_RETRY_S = 0.2
BEATS_KEPT = 3  # a standby that has reached where the leader was so many beats ago follows it

log = structlog.get_logger("nexus_sched.scheduler")


class Openable(Protocol):
    """A store, or whatever else has to be connected before a shard can be served."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close. Never raises."""


class Seat(NamedTuple):
    """What serving one shard takes: the service, and what to open for it, in this order."""

    service: Service
    stores: Sequence[Openable]


class _Sitting(Struct):
    """A seat that is taken."""

    service: Service
    serving: asyncio.Future[None]
    reached: deque[int]  # the turns that it had come to at the last beats, while it leads
    leaving: bool = False


class Replica:
    """This process, among the replicas.

    Parameters
    ----------
    registry
        Where replicas see each other; opened already.
    name
        Unique among them; leases are held under it.
    serves
        Pool -> number of its shards.
    seat
        Makes what serves a shard, with the settings that hold then. Its stores are opened and closed here.
    is_dead
        Whether a replica of that name is proven to be dead.
    only
        The one shard, of one pool, that was placed here by hand: no other is served, and nobody is told.
    """

    def __init__(
        self,
        registry: RegistryStore,
        name: str,
        serves: Mapping[str, int],
        seat: Callable[[ShardId, EngineSettings], Seat],
        settings: EngineSettings,
        clock: Clock | None = None,
        is_dead: Callable[[str], bool] = lambda _: False,
        only: int | None = None,
    ) -> None:
        self._registry = registry
        self._name = name
        self._serves = dict(serves)
        self._only = only
        self._seat = seat
        self._settings = settings
        self._clock = clock or SystemClock()
        self._roll = Roll(name, is_dead)
        self._sittings: dict[ShardId, _Sitting] = {}
        self._seen: dict[ShardId, tuple[int, str]] = {}  # a shard's turn when its seat was left, and its beginning
        self._not_before_s: dict[ShardId, float] = {}  # shards that were handed over: others come first for a while
        self._moved_at_s = float("-inf")
        self._beat = 0
        self._ranks: Ranks = spread({name: self._announcement()})  # until the registry says more
        self._does: Mapping[str, object] = {}  # what each replica did as the ranks were worked out
        self.on_reload: Callable[[], object] = lambda: None  # wanted by a command; called within a turn
        self._wake = asyncio.Event()
        self._stopping = False
        self._registry_lost = False

    @property
    def leads(self) -> list[ShardId]:
        """The shards that are led from here."""
        return [shard for shard, sitting in self._sittings.items() if sitting.service.leading.is_set()]

    @property
    def stands_by(self) -> list[ShardId]:
        """The shards that this process stands by for, warm or not."""
        return [shard for shard, sitting in self._sittings.items() if not sitting.service.leading.is_set()]

    def stop(self) -> None:
        """Hand everything over gracefully; `run` returns once that is done."""
        self._stopping = True
        self._wake.set()

    def reconfigure(self, settings: EngineSettings, actor: str) -> None:
        """Run with other settings from now on, whatever is led now or later. `actor` is who wants it."""
        self._settings = settings
        for sitting in self._sittings.values():
            sitting.service.reconfigure(settings, actor)

    async def run(self) -> None:
        """Serve until `stop`. Raises what ends a service: `StateLost`, `StoreUnsuitable`, a defect."""
        announcing = asyncio.ensure_future(self._announce_again_and_again())
        try:
            if self._only is None:
                await self._woken(FIRST_LOOK_S)  # with a look at who is there, or without
            while not self._stopping:
                await self._settle_ended()
                self._take_seats()
                self._hand_one_over()
                await self._woken(BEAT_S)
        except asyncio.CancelledError:
            for sitting in self._sittings.values():
                sitting.serving.cancel()
            raise
        finally:
            announcing.cancel()
            await self._leave_all()

    async def _woken(self, within_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), within_s)
        self._wake.clear()

    # -- who is there

    async def _announce_again_and_again(self) -> None:
        while self._only is None:
            await self._announce()
            self._wake.set()
            await asyncio.sleep(BEAT_S)

    async def _announce(self) -> None:
        self._beat += 1
        try:
            said = await self._registry.announce(self._name, encode_announcement(self._announcement()))
            others = self._roll.read(said, self._clock.monotonic_s())
            self._rank()
            if others and (self._roll.there.keys() != {self._name} or self._beat > 1):
                log.info("replicas", there=sorted(self._roll.there), shards=len(self._ranks))
            await self._registry.withdraw(self._roll.forgotten(self._clock.monotonic_s()))
            self._registry_lost = False
        except StoreError as error:
            if not self._registry_lost:
                log.warning("registry does not answer", code=error.code, error=str(error))
            self._registry_lost = True

    def _rank(self) -> None:
        """Work out anew who should do what, if that can have changed."""
        there = self._roll.there
        does = {name: (each.serves, each.leads, [shard for shard, _ in each.warm]) for name, each in there.items()}
        if does != self._does:
            self._does, self._ranks = does, spread(there)

    def _announcement(self) -> Announcement:
        warm = []
        for shard, sitting in self._sittings.items():
            if sitting.service.leading.is_set():
                sitting.reached.append(sitting.service.seq)
            elif (seq := sitting.service.standby.seq) is not None and not sitting.leaving:
                warm.append((shard, seq))
        return Announcement(beat=self._beat, serves=self._serves, leads=self.leads, warm=warm, version=VERSION)

    # -- seats

    def _take_seats(self) -> None:
        """Begin with the shards that are ours by rank, end with those that are not and that others lead."""
        now_s = self._clock.monotonic_s()
        for pool, count in self._serves.items():
            numbers = range(count) if self._only is None else (self._only,)
            for shard in (ShardId(pool, number) for number in numbers):
                mine = self._name in self._ranks.get(shard, (self._name,)) and not self._is_moving(shard)
                sitting = self._sittings.get(shard)
                if sitting is None:
                    if mine and (now_s >= self._not_before_s.get(shard, 0.0) or self._led_elsewhere(shard)):
                        self._sit(shard)
                elif not mine and not sitting.service.leading.is_set() and self._led_elsewhere(shard):
                    self._leave(sitting)

    def _sit(self, shard: ShardId) -> None:
        seat = self._seat(shard, self._settings)
        seat.service.on_reload = self.on_reload
        seat.service.remember(*self._seen.get(shard, (0, "")))
        serving = asyncio.ensure_future(_serve(seat))
        serving.add_done_callback(lambda _: self._wake.set())
        self._sittings[shard] = _Sitting(seat.service, serving, deque(maxlen=BEATS_KEPT))

    def _leave(self, sitting: _Sitting) -> None:
        sitting.leaving = True
        others = {there.version for name, there in self._roll.there.items() if name != self._name}
        sitting.service.stop(for_other_version=others != {VERSION})  # nobody there: who knows who comes

    async def _settle_ended(self) -> None:
        """Take note of seats that were left. Raises what ended one that was not."""
        for shard, sitting in list(self._sittings.items()):
            if sitting.serving.done():
                await sitting.serving
                del self._sittings[shard]
                self._seen[shard] = (sitting.service.seq_seen, sitting.service.born_seen)
                self._not_before_s[shard] = self._clock.monotonic_s() + YIELD_S

    async def _leave_all(self) -> None:
        with contextlib.suppress(StoreError, TimeoutError):  # nothing is there to be withdrawn of one placed by hand
            async with asyncio.timeout(WITHDRAW_TIMEOUT_S):
                await self._registry.withdraw([self._name])  # first, so that others are ready
        sittings = list(self._sittings.values())
        for sitting in sittings:
            self._leave(sitting)
        ended = await asyncio.gather(*(sitting.serving for sitting in sittings), return_exceptions=True)
        self._sittings.clear()
        for end in ended:
            if isinstance(end, Exception):
                raise end

    # -- moving

    def _hand_one_over(self) -> None:
        """Give one shard to whoever should lead it and is ready for it, if it is time for that."""
        now_s = self._clock.monotonic_s()
        moving = any(sitting.leaving and sitting.service.leading.is_set() for sitting in self._sittings.values())
        if moving or now_s - self._moved_at_s < MOVE_PAUSE_S or not self._roll.may_move(now_s):
            return
        for shard, sitting in self._sittings.items():
            if not sitting.leaving and sitting.service.leading.is_set() and self._is_awaited(shard, sitting):
                log.info("handing over", shard=str(shard), to=self._ranks[shard][0], seq=sitting.service.seq)
                self._moved_at_s = now_s
                self._leave(sitting)
                return

    def _is_awaited(self, shard: ShardId, sitting: _Sitting) -> bool:
        """Whether somebody else should lead the shard, and follows it closely."""
        first = self._ranks.get(shard, (self._name,))[0]
        there = self._roll.there.get(first)
        if first == self._name or there is None or len(sitting.reached) < BEATS_KEPT:
            return False
        return any(warm == shard and seq >= sitting.reached[0] for warm, seq in there.warm)

    def _is_moving(self, shard: ShardId) -> bool:
        """Whether the shard is about to go from one replica to another that is ready: a third must not be faster."""
        first = self._ranks.get(shard, (self._name,))[0]
        there = self._roll.there.get(first)
        if first == self._name or there is None or shard not in (warm for warm, _ in there.warm):
            return False
        return any(shard in each.leads for name, each in self._roll.there.items() if name != first)

    def _led_elsewhere(self, shard: ShardId) -> bool:
        return any(shard in each.leads for name, each in self._roll.there.items() if name != self._name)


async def _serve(seat: Seat) -> None:
    try:
        for store in seat.stores:
            await _opened(store, seat.service)
        await seat.service.run()
    finally:
        for store in reversed(seat.stores):
            await store.close()


async def _opened(store: Openable, service: Service) -> None:
    """Open a store; where the server is not there, try again, as the service does."""
    while not service.stopping:
        try:
            await store.open()
            break
        except (StoreUnreachable, StoreLoading):
            await asyncio.sleep(OPEN_RETRY_S)
