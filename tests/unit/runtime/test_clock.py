"""Instants of turns never go back, whatever the wall clock does."""

from __future__ import annotations

from nexus_sched.runtime.clock import SystemClock, TurnClock


class Clocks:
    """Readings of the wall clock, one a step; the other clock goes on by `step_s` each time."""

    def __init__(self, *readings_ns: int, step_s: float = 0.0) -> None:
        self.readings_ns, self.step_s, self.now_s = list(readings_ns), step_s, 0.0

    def wall_ns(self) -> int:
        return self.readings_ns.pop(0)

    def monotonic_s(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def test_turn_clock_never_goes_back():
    clock = TurnClock(Clocks(5, 9, 3, 8, 10))
    assert [clock.next_ns() for _ in range(5)] == [5, 9, 9, 9, 10]


def test_turn_clock_starts_no_earlier_than_the_last_recorded_turn():
    clock = TurnClock(Clocks(5, 200), floor_ns=100)
    assert [clock.next_ns(), clock.next_ns()] == [100, 200]


def test_turn_clock_goes_on_at_half_the_pace_until_a_wall_clock_that_was_set_back_has_caught_up():
    second = 10**9
    set_back = [100 * second, *(number * second for number in range(98, 106))]
    clock = TurnClock(Clocks(*set_back, step_s=1.0))
    instants = [clock.next_ns() / second for _ in set_back]
    assert instants == [100.0, 100.5, 101.0, 101.5, 102.0, 102.5, 103.0, 104.0, 105.0]


def test_system_clock_goes_forward():
    clock = SystemClock()
    assert clock.monotonic_s() <= clock.monotonic_s()
    assert clock.wall_ns() > 1_700_000_000 * 10**9
