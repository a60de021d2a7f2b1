"""Plain rotation and least outstanding, on plain numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from nexus_sched.fallback.least_outstanding import LeastOutstanding
from nexus_sched.fallback.round_robin import RoundRobin


@dataclass
class Seat:
    slots: int = 1
    credit: int = 1
    in_flight: int = 0
    accepting: bool = True


def chosen(policy, ring, times: int) -> list[int]:
    picks = []
    for _ in range(times):
        index = policy.choose(ring)
        if index >= 0:
            ring[index].in_flight += 1
        picks.append(index)
    return picks


@pytest.mark.parametrize("policy", [RoundRobin(), RoundRobin(early=True), LeastOutstanding()])
def test_nobody_open_gives_minus_one(policy):
    assert policy.choose([]) == -1
    assert policy.choose([Seat(in_flight=1), Seat(accepting=False)]) == -1


@pytest.mark.parametrize("policy", [RoundRobin(), RoundRobin(early=True), LeastOutstanding()])
def test_turns_are_even_among_equals(policy):
    ring = [Seat(slots=100, credit=100) for _ in range(7)]
    assert set(Counter(chosen(policy, ring, 70)).values()) == {10}


@pytest.mark.parametrize("policy", [RoundRobin(), RoundRobin(early=True), LeastOutstanding()])
def test_those_that_do_not_accept_are_skipped(policy):
    ring = [Seat(slots=9, credit=9), Seat(slots=9, credit=9, accepting=False), Seat(slots=9, credit=9)]
    assert chosen(policy, ring, 4) == [0, 2, 0, 2]


def test_early_rotation_binds_regardless_of_load():
    ring = [Seat(credit=100, in_flight=50), Seat(credit=100), Seat(credit=100)]
    assert chosen(RoundRobin(early=True), ring, 6) == [0, 1, 2, 0, 1, 2]


def test_rotation_gives_free_slots_first_then_credit_in_turn():
    ring = [Seat(credit=2, in_flight=1), Seat(credit=2), Seat(credit=2, in_flight=1)]
    assert chosen(RoundRobin(), ring, 5) == [1, 2, 0, 1, -1]


def test_rotation_goes_on_where_it_stood_when_the_ring_shrinks():
    policy = RoundRobin()
    chosen(policy, [Seat() for _ in range(10)], 9)
    assert policy.position == 9
    assert policy.choose([Seat(), Seat(), Seat()]) == 0


def test_least_outstanding_weighs_by_slots():
    ring = [Seat(slots=4, credit=9, in_flight=2), Seat(slots=1, credit=9, in_flight=1), Seat(slots=2, credit=9)]
    assert chosen(LeastOutstanding(), ring, 4) == [2, 0, 2, 0]


def test_least_outstanding_takes_equals_in_turn_from_its_position():
    policy = LeastOutstanding()
    ring = [Seat(slots=2, credit=4, in_flight=1) for _ in range(3)]
    assert chosen(policy, ring, 6) == [0, 1, 2, 0, 1, 2]


def test_least_outstanding_fills_up_to_the_credit():
    ring = [Seat(slots=1, credit=2), Seat(slots=1, credit=3)]
    assert chosen(LeastOutstanding(), ring, 6) == [0, 1, 0, 1, 1, -1]
