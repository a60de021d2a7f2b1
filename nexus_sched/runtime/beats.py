"""When each worker last gave a sign of life, as this process has seen it; whoever leads meanwhile.

Laws of this file:
  1. Only a *change* of a counter means anything, at the instant of the look that saw it, on this process's own clock.
  2. A worker cannot be blamed for what nobody looked at: after every gap in looking, and for whoever is new, time
     begins anew. A change of leader is no gap where the standby has looked as well: nobody waits for the dead again.
  3. Nor can it be for what the store did not take: while it refuses our own writes, nobody's time goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from math import inf
from typing import Protocol

from nexus_sched.errors import StoreError
from nexus_sched.runtime.clock import Clock

LOOKS_PER_SUSPECT = 4  # how often the counters are read within `suspect_ms`


class Counted(Protocol):
    """Where heartbeats are counted."""

    async def heartbeats(self) -> dict[str, int]:
        """Live workers and their heartbeat counters."""


class Beats:
    """Counters, and since when each has stood still. `gap_s`: nobody has looked for longer than this."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._seen: dict[str, tuple[int, float]] = {}  # worker -> counter, when it last changed
        self._looked_at_s: float | None = None
        self._refuses = self._refused = False  # now; at any time since the last look

    def refused(self) -> None:
        """The store has not taken a write of this process: it may have taken nobody's heartbeat either."""
        self._refuses = self._refused = True

    def taken(self) -> None:
        """The store has taken a write of this process."""
        self._refuses = False

    def note(self, counters: Mapping[str, int], now_s: float) -> Iterator[tuple[str, float, bool]]:
        """Worker, how long it has been silent, and whether its counter has changed since the last look."""
        passed_s = inf if self._looked_at_s is None else now_s - self._looked_at_s
        lost_s = passed_s if self._refused else 0.0
        self._looked_at_s, self._refused = now_s, self._refuses
        before, self._seen = self._seen, {}
        for worker, counter in counters.items():
            beat, since_s = before.get(worker, (counter, now_s))
            changed = beat != counter
            since_s = now_s if changed or passed_s > self._gap_s else min(now_s, since_s + lost_s)
            self._seen[worker] = (counter, since_s)
            yield worker, now_s - since_s, changed


async def listen(store: Counted, clock: Clock, beats: Beats, suspect_ms: int) -> None:
    """Look until cancelled, as a standby does. Raises nothing: what cannot be looked at is a gap."""
    while True:
        try:
            for _ in beats.note(await store.heartbeats(), clock.monotonic_s()):
                pass
        except StoreError:
            pass
        await asyncio.sleep(suspect_ms / 1_000 / LOOKS_PER_SUSPECT)
