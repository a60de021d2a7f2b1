"""Instants of turns never go back, whatever the wall clock does."""

from __future__ import annotations

from nexus_sched.runtime.clock import SystemClock, TurnClock


class Wall:
    def __init__(self, *readings: int) -> None:
        self.readings = list(readings)

    def wall_ns(self) -> int:
        return self.readings.pop(0)

    def monotonic_s(self) -> float:
        return 0.0


def test_turn_clock_stands_still_while_the_wall_clock_is_behind():
    clock = TurnClock(Wall(5, 9, 3, 8, 10))
    assert [clock.next_ns() for _ in range(5)] == [5, 9, 9, 9, 10]


def test_turn_clock_starts_no_earlier_than_the_last_recorded_turn():
    clock = TurnClock(Wall(5, 200), floor_ns=100)
    assert [clock.next_ns(), clock.next_ns()] == [100, 200]


def test_system_clock_goes_forward():
    clock = SystemClock()
    assert clock.monotonic_s() <= clock.monotonic_s()
    assert clock.wall_ns() > 1_700_000_000 * 10**9
