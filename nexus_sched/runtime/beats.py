"""When each worker last gave a sign of life, as this process has seen it; whoever leads meanwhile.

Laws of this file:
  1. Only a *change* of a counter means anything, at the instant of the look that saw it, on this process's own clock.
  2. A worker cannot be blamed for what nobody looked at: after every gap in looking, and for whoever is new, time
     begins anew. A change of leader is no gap where the standby has looked as well: nobody waits for the dead again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
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

    def note(self, counters: Mapping[str, int], now_s: float) -> Iterator[tuple[str, float, bool]]:
        """Worker, how long it has been silent, and whether its counter has changed since the last look."""
        began = self._looked_at_s is None or now_s - self._looked_at_s > self._gap_s
        self._looked_at_s = now_s
        before, self._seen = self._seen, {}
        for worker, counter in counters.items():
            beat, since_s = before.get(worker, (counter, now_s))
            changed = beat != counter
            if changed or began:
                since_s = now_s
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
