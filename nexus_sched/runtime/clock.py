"""The shell's clocks. The core never reads one: instants are arguments of its turns."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that people agree on, and one that never jumps."""

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch. May jump either way."""

    def monotonic_s(self) -> float:
        """Seconds that only go forward; for leases, deaths and spans."""


class SystemClock:
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        """`time.time_ns`."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """`time.monotonic`."""
        return time.monotonic()


class TurnClock:
    """Instants for turns: the wall clock, but never before an instant that was already used."""

    def __init__(self, clock: Clock, floor_ns: int = 0) -> None:
        self._clock = clock
        self._last_ns = floor_ns

    def next_ns(self) -> int:
        """The instant of the next turn."""
        self._last_ns = max(self._last_ns, self._clock.wall_ns())
        return self._last_ns
