"""Which workers live: heartbeat counters watched on our own monotonic clock.

Only a *change* of a counter means anything (`runtime.beats`); what the store's clock or a worker's clock says does not.
Silence for `suspect_ms` -> no new tasks; for `dead_ms` -> reaped, unless a heartbeat came in between.
A worker that said it may be silent for longer is given that time.

When a large part of all workers is silent at the same time, their network is more likely to blame than they are, and
what they run would run twice: nobody is reaped for `MASS_HOLD_S`, people are told, and then it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from nexus_sched.errors import Fenced, StoreError
from nexus_sched.model.events import AnyEvent, WorkerSuspected, WorkerTrusted
from nexus_sched.runtime.beats import LOOKS_PER_SUSPECT, Beats
from nexus_sched.runtime.clock import Clock
from nexus_sched.runtime.ports import REAP_TASKS_MAX, LeaderStore, Lease

LOOK_AGAIN_S_MIN = 0.01
MASS_SHARE = 0.3  # more than this part of all workers, and at least so many of them, silent at once
MASS_WORKERS_MIN = 3
MASS_HOLD_S = 15.0

log = structlog.get_logger("nexus_sched.scheduler")


class Heartbeats:
    """The bookkeeping, free of I/O: counters in, changes of standing out."""

    def __init__(
        self,
        suspect_s: float,
        dead_s: float,
        suspects: Iterable[str] = (),
        silence_s: Callable[[str], float] = lambda _: 0.0,
        beats: Beats | None = None,
    ) -> None:
        self._suspect_s = suspect_s
        self._dead_s = dead_s
        self._beats = beats or Beats(suspect_s)
        self._silence_s = silence_s  # how long a worker said that it may be silent
        self._suspects = set(suspects)  # as the engine has them, which outlives this watch
        self._held_since_s: float | None = None  # the beginning of a mass death, whether it still is held or not
        self.held = 0  # workers that would be reaped if so many were not silent at once
        self.due_in_s = dead_s  # until the next one of those that are silent counts as dead

    def look(self, counters: dict[str, int], now_s: float) -> tuple[list[AnyEvent], list[tuple[str, int]]]:
        """Events for the engine, and `(worker, counter)` of those that count as dead."""
        events: list[AnyEvent] = []
        dead: list[tuple[str, int]] = []
        silent = 0
        self.due_in_s = self._dead_s
        self._suspects &= counters.keys()
        for worker, silent_s, changed in self._beats.note(counters, now_s):
            if changed:
                if worker in self._suspects:
                    self._suspects.discard(worker)
                    events.append(WorkerTrusted(worker))
            elif silent_s >= self._suspect_s:
                stretch = max(1.0, self._silence_s(worker) / self._dead_s)
                if silent_s < stretch * self._suspect_s:
                    continue
                silent += 1
                if silent_s >= stretch * self._dead_s:
                    dead.append((worker, counters[worker]))
                    continue
                self.due_in_s = min(self.due_in_s, stretch * self._dead_s - silent_s)
                if worker not in self._suspects:
                    self._suspects.add(worker)
                    events.append(WorkerSuspected(worker))
        return events, self._unless_many(dead, silent, len(counters), now_s)

    def _unless_many(
        self, dead: list[tuple[str, int]], silent: int, workers: int, now_s: float
    ) -> list[tuple[str, int]]:
        """`dead`, or nobody while a mass death is held."""
        many = silent >= MASS_WORKERS_MIN and silent > MASS_SHARE * workers
        if not many:
            self._held_since_s = None
        elif dead and self._held_since_s is None:
            self._held_since_s = now_s
        holding = self._held_since_s is not None and now_s - self._held_since_s < MASS_HOLD_S
        self.held = len(dead) if holding else 0
        return [] if holding else dead


async def watch(
    store: LeaderStore,
    lease: Lease,
    clock: Clock,
    heartbeats: Heartbeats,
    suspect_ms: int,
    feed: Callable[[list[AnyEvent]], None],
    holders: Iterable[str] = (),
    departed: Mapping[str, int] | None = None,
) -> None:
    """Look until cancelled. Store errors only delay the next look. Raises `Fenced`.

    `holders` are the workers that are known, or hold tasks, as this leadership begins. Those that the store does not
    count any more are struck off: a leader that fell in the midst of reaping left them so, and its successor need not
    have read of it. The same is done a look after a worker has vanished, for what crossed its leaving lies there, and
    for whoever is in `departed`, with an instant: they may have come and gone between two looks, or long before them.
    """
    unfinished: dict[str, int] = {}  # worker -> counter; an inbox is not empty after one failed call
    counted, vanished = dict.fromkeys(holders, 0), list[str]()  # at the last look; between that and the one before
    cleared: dict[str, int] = {}  # of the departed
    while True:
        look_in_s = min(suspect_ms / 1_000 / LOOKS_PER_SUSPECT, heartbeats.due_in_s)
        await asyncio.sleep(max(look_in_s, LOOK_AGAIN_S_MIN))
        try:
            counters = await store.heartbeats()
        except StoreError:
            continue
        held = heartbeats.held
        events, dead = heartbeats.look(counters, clock.monotonic_s())
        if heartbeats.held and not held:
            log.error("mass death held", silent=heartbeats.held, workers=len(counters), hold_s=MASS_HOLD_S)
        elif held and not heartbeats.held:
            log.warning("mass death over", reaping=len(dead), workers=len(counters))
        if events:
            feed(events)
        unfinished.update(dead)
        unfinished.update((worker, 0) for worker in vanished if worker not in counters)
        vanished = [worker for worker in counted if worker not in counters]
        if departed:
            vanished += [worker for worker, at_ms in departed.items() if cleared.get(worker) != at_ms]
            cleared = dict(departed)
        counted = counters
        try:
            for worker, counter in list(unfinished.items()):
                await _reap(store, lease, worker, counter)
                del unfinished[worker]
        except Fenced:
            raise
        except StoreError:
            continue


async def _reap(store: LeaderStore, lease: Lease, worker: str, counter: int) -> None:
    left = 1
    while left:
        reaped = await store.reap(lease, worker, counter, REAP_TASKS_MAX)
        left = 0 if reaped.alive else reaped.left
