"""What is left of a run, against the log-normal distribution that the quantiles are of."""

from __future__ import annotations

from math import exp, log
from statistics import NormalDist

import pytest

from nexus_sched.core.eta_left import left_ms
from nexus_sched.model.prediction import TaskPrediction

NORMAL = NormalDist()


def lognormal(sigma: float) -> TaskPrediction:
    p50, p80, p95 = (100.0 * exp(sigma * NORMAL.inv_cdf(share)) for share in (0.5, 0.8, 0.95))
    return TaskPrediction(p50, p50, p80, p95, 1.0, "told", 9, "told", 1)


def exact_ms(sigma: float, passed_ms: float, share: float) -> float:
    over = NORMAL.cdf(log(passed_ms / 100.0) / sigma) if passed_ms else 0.0
    return 100.0 * exp(sigma * NORMAL.inv_cdf(over + share * (1.0 - over))) - passed_ms


@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("z", [None, -3.0, -1.0, -0.3, 0.0, 0.7, 1.2])
def test_left_is_near_the_conditional_quantiles(sigma: float, z: float | None):
    passed_ms = 0.0 if z is None else 100.0 * exp(sigma * z)
    told = left_ms(lognormal(sigma), passed_ms)
    for at_ms, share in zip(told[:2], (0.5, 0.8), strict=True):
        assert at_ms == pytest.approx(exact_ms(sigma, passed_ms, share), abs=0.1 * sigma * 100.0)
    assert told == tuple(sorted(told))


def test_sure_run_is_not_given_half_of_what_has_passed():
    assert left_ms(lognormal(0.05), 95.0)[0] < 10.0


def test_run_beyond_all_that_was_predicted_has_half_of_it_left():
    assert left_ms(lognormal(0.05), 300.0) == pytest.approx((150.0, 225.0, 300.0))


def test_prediction_without_spread_is_taken_at_its_word_until_it_has_passed():
    sure = TaskPrediction(100.0, 100.0, 100.0, 100.0, 1.0, "told", 9, "told", 1)
    assert left_ms(sure, 99.0) == (1.0, 1.0, 1.0)
    assert left_ms(sure, 100.0)[0] == 50.0


@pytest.mark.parametrize("p50_ms", [0.0, 1e-9])
def test_nothing_predicted_leaves_finite_numbers(p50_ms: float):
    nothing = TaskPrediction(p50_ms, 0.0, 0.0, 0.0, 0.0, "told", 0, "told", 1)
    for passed_ms in (0.0, 1.0):
        assert all(0.0 <= each < 10.0 for each in left_ms(nothing, passed_ms))
