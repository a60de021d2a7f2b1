"""The shell's clocks. The core never reads one: instants are arguments of its turns."""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_S = 1_000_000_000


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
    """Instants for turns: the wall clock, but never before an instant that was already used.

    Where the wall clock is behind (it was set back, or the former leader's was ahead), instants go on at half the
    pace until it has caught up: what is due in a second then comes after two, and not an hour late.
    """

    def __init__(self, clock: Clock, floor_ns: int = 0) -> None:
        self._clock = clock
        self._last_ns = floor_ns
        self._read_at_s = clock.monotonic_s()

    def next_ns(self) -> int:
        """The instant of the next turn."""
        now_s = self._clock.monotonic_s()
        passed_ns = int((now_s - self._read_at_s) * NS_PER_S)
        self._read_at_s = now_s
        self._last_ns = max(self._last_ns + passed_ns // 2, self._clock.wall_ns())
        return self._last_ns
