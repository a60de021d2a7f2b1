"""The breaker of one worker: what opens it, for how long, and how it is tried again."""

from __future__ import annotations

import pytest

from nexus_sched.core.worker_breaker import (
    CLOSED,
    HALF_OPEN,
    HALF_OPEN_ALLOWANCE,
    HISTORY_MAX,
    OPEN,
    WorkerBreaker,
    bad_case_ms,
)
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import WorkerBreakerSettings

SETTINGS = WorkerBreakerSettings()


def failing(times: int, cost_ms: float = 100.0) -> WorkerBreaker:
    breaker = WorkerBreaker("w1")
    for _ in range(times):
        breaker.failure(cost_ms, 1_000)
    return breaker


@pytest.mark.parametrize(("failures", "opens"), [(4, False), (5, True), (6, True)])
def test_failures_in_a_row_are_too_many(failures: int, opens: bool):
    assert failing(failures).too_many(1_000, SETTINGS) is opens


def test_success_ends_a_row():
    breaker = failing(4)
    breaker.success()
    breaker.failure(100.0, 1_000)
    assert breaker.failures == 1


@pytest.mark.parametrize(
    ("failed", "runs", "opens"),
    [(1, 1, False), (2, 4, False), (1, 5, False), (2, 10, False), (2, 5, True), (3, 10, True), (20, 101, False)],
)
def test_share_of_failures_counts_over_enough_runs(failed: int, runs: int, opens: bool):
    breaker = WorkerBreaker("w1", failed=failed - failed // 2, failed_before=failed // 2)
    assert breaker.too_many(runs, SETTINGS) is opens


@pytest.mark.parametrize(("opened", "open_ms"), [(0, 30_000), (1, 60_000), (4, 150_000), (9, 300_000), (40, 300_000)])
def test_it_stays_open_for_longer_each_time(opened: int, open_ms: int):
    breaker = WorkerBreaker("w1", opened=opened)
    breaker.open("it fails", SETTINGS, 7_000)
    assert (breaker.state, breaker.until_ms, breaker.opened) == (OPEN, 7_000 + open_ms, opened + 1)


def test_half_open_trusts_with_one_more_task_after_each_success():
    breaker = WorkerBreaker("w1")
    breaker.open("it fails", SETTINGS, 0)
    breaker.half_open(30_000)
    allowed = [breaker.allowance]
    while not breaker.success():
        allowed.append(breaker.allowance)
    assert allowed == list(range(1, HALF_OPEN_ALLOWANCE))


def test_success_does_not_close_it_while_it_is_open():
    breaker = WorkerBreaker("w1")
    breaker.open("it fails", SETTINGS, 0)
    assert [breaker.success() for _ in range(10)] == [False] * 10
    assert breaker.state == OPEN


def test_closed_again_it_remembers_how_often_it_had_opened():
    breaker = WorkerBreaker("w1")
    breaker.open("it fails", SETTINGS, 0)
    breaker.half_open(30_000)
    breaker.close("it works", 31_000)
    assert (breaker.state, breaker.opened, breaker.allowance) == (CLOSED, 1, 0)


def test_cost_of_failures_is_averaged_over_runs_and_fades_with_time():
    breaker = failing(1, cost_ms=1_000.0)
    first_ms = breaker.health_ms
    breaker.failure(1_000.0, 1_000)
    assert first_ms < breaker.health_ms < 1_000.0
    breaker.success()
    assert breaker.health_ms < 1_000.0
    for _ in range(12):
        breaker.decay()
    assert breaker.health_ms == 0.0


def test_history_keeps_the_newest_few():
    breaker = WorkerBreaker("w1")
    for instant in range(3 * HISTORY_MAX):
        breaker.tell(instant, OPEN, "why")
    assert [instant for instant, _, _ in breaker.history] == list(range(2 * HISTORY_MAX, 3 * HISTORY_MAX))
    assert WorkerBreaker("w2").history == []


def test_story_says_how_long_it_stays_open():
    breaker = WorkerBreaker("w1")
    breaker.open("it fails", SETTINGS, 0)
    assert breaker.story(10_000).opens_until_ms == 20_000.0
    breaker.half_open(30_000)
    assert (breaker.story(30_000).state, breaker.story(30_000).opens_until_ms) == (HALF_OPEN, 0.0)


def predicted(p50_ms: float, p95_ms: float) -> TaskPrediction:
    return TaskPrediction(p50_ms, p50_ms, p50_ms, p95_ms, 1.0, "told", 9, "told", 1)


def test_bad_case_is_near_the_99th_percentile_and_never_below_it():
    for sigma_p95 in (1.0, 1.2, 1.8, 3.0):
        exact = 100.0 * sigma_p95 ** (2.326 / 1.645)
        assert exact <= bad_case_ms(predicted(100.0, 100.0 * sigma_p95)) <= 1.15 * exact


def test_bad_case_of_nothing_known_is_nothing():
    assert bad_case_ms(None) == 0.0
    assert bad_case_ms(predicted(0.0, 0.0)) == 0.0
    assert bad_case_ms(predicted(1e9, 1e300)) < 1e10
