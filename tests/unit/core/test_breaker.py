"""The three states, and what moves between them."""

from __future__ import annotations

from nexus_sched.core.breaker import Breaker, BreakerState


def opened(at_ms: int = 0) -> Breaker:
    breaker = Breaker(3, 1_000)
    for _ in range(3):
        breaker.failed(at_ms)
    return breaker


def test_breaker_opens_at_the_third_failure_in_a_row():
    breaker = Breaker(3, 1_000)
    breaker.failed(0)
    breaker.failed(0)
    assert breaker.allows(0)
    assert breaker.state(0) is BreakerState.CLOSED
    breaker.failed(0)
    assert not breaker.allows(999)
    assert breaker.state(999) is BreakerState.OPEN
    assert breaker.trips == 1


def test_breaker_forgets_failures_at_any_success():
    breaker = Breaker(3, 1_000)
    for _ in range(10):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) is BreakerState.CLOSED
    assert (breaker.failures, breaker.trips) == (0, 0)


def test_breaker_with_a_threshold_of_one_opens_at_once():
    breaker = Breaker(1, 1_000)
    breaker.failed(5)
    assert breaker.state(5) is BreakerState.OPEN


def test_breaker_is_half_open_once_the_cool_down_has_passed():
    breaker = opened(at_ms=500)
    assert breaker.state(1_499) is BreakerState.OPEN
    assert breaker.state(1_500) is BreakerState.HALF_OPEN
    assert breaker.allows(1_500)


def test_half_open_breaker_closes_at_a_success():
    breaker = opened()
    breaker.succeeded()
    assert breaker.state(1_000) is BreakerState.CLOSED
    breaker.failed(1_000)
    assert breaker.allows(1_000)


def test_half_open_breaker_opens_anew_at_one_failure():
    breaker = opened()
    breaker.failed(1_000)
    assert breaker.state(1_999) is BreakerState.OPEN
    assert breaker.state(2_000) is BreakerState.HALF_OPEN
    assert breaker.trips == 1  # it never closed in between


def test_failures_while_it_is_open_do_not_prolong_the_cool_down():
    breaker = opened()
    for at_ms in range(1, 1_000, 100):
        breaker.failed(at_ms)
    assert breaker.state(1_000) is BreakerState.HALF_OPEN
    assert breaker.failures == 3


def test_restored_breaker_goes_on_where_the_other_stood():
    breaker = opened(at_ms=7)
    other = Breaker(3, 1_000)
    other.restore(breaker.snapshot())
    assert other.snapshot() == breaker.snapshot() == (3, 7, 1)
    assert other.state(1_006) is BreakerState.OPEN
    assert other.state(1_007) is BreakerState.HALF_OPEN
