"""A worker that has changed its pace is noticed within a few runs; noise is not taken for it."""

from __future__ import annotations

from random import Random

import pytest

from nexus_sched.core.pace import DEVIATION_MAX, NEAR_MAX, NEAR_MIN, SLACK, PaceDrift, deviation
from nexus_sched.model.prediction import TaskPrediction


def predicted(p50_ms: float = 100.0, p95_ms: float = 140.0) -> TaskPrediction:
    return TaskPrediction(p50_ms, p50_ms, p50_ms, p95_ms, 1.0, "told", 9, "told", 1)


def runs_until_alarm(times: float, sigma: float = 0.0, seed: int = 0, runs_max: int = 100) -> int:
    """How many runs of `times` the prediction it takes; `runs_max` if there is no alarm."""
    random, drift = Random(seed), PaceDrift()
    prediction = predicted(100.0, 100.0 * 2.718281828 ** (1.645 * sigma))
    for number in range(1, runs_max):
        run_ms = 100.0 * times * random.lognormvariate(0.0, sigma)
        if drift.observe(deviation(run_ms, prediction), run_ms, 100.0):
            return number
    return runs_max


@pytest.mark.parametrize("times", [5.0, 3.0, 0.2, 1 / 3])
def test_large_change_takes_few_runs(times: float):
    assert 2 <= runs_until_alarm(times) <= 3


@pytest.mark.parametrize("times", [1.6, 0.6])
def test_smaller_change_takes_more_but_is_noticed(times: float):
    assert 3 <= runs_until_alarm(times) <= 10


def test_five_times_slower_is_noticed_under_noise():
    assert max(runs_until_alarm(5.0, 0.35, seed) for seed in range(50)) <= 4


@pytest.mark.parametrize("sigma", [0.1, 0.35, 0.8])
def test_noise_alone_is_rarely_an_alarm(sigma: float):
    quiet = sum(runs_until_alarm(1.0, sigma, seed, runs_max=200) == 200 for seed in range(60))
    assert quiet >= 48


def test_one_wild_run_is_no_alarm():
    drift = PaceDrift()
    assert drift.observe(deviation(1e9, predicted()), 1e9, 100.0) == 0.0
    assert drift.observe(0.0, 100.0, 100.0) == 0.0
    for _ in range(3):
        drift.observe(0.0, 100.0, 100.0)
    assert drift.settled


def test_alarm_tells_the_ratio_of_the_runs_since_the_change():
    drift = PaceDrift()
    for run_ms in (100.0, 110.0, 95.0):
        drift.observe(deviation(run_ms, predicted()), run_ms, 50.0)
    assert (drift.runs, drift.settled) == (0, True)
    assert drift.observe(deviation(500.0, predicted()), 500.0, 50.0) == 0.0
    assert drift.observe(deviation(600.0, predicted()), 600.0, 50.0) == pytest.approx(11.0)


@pytest.mark.parametrize(("run_ms", "sign"), [(100.0, 0), (150.0, 1), (70.0, -1), (1e12, 1), (1e-9, -1)])
def test_deviation_is_signed_and_bounded(run_ms: float, sign: int):
    away = deviation(run_ms, predicted())
    assert (away > 0) - (away < 0) == sign
    assert abs(away) <= DEVIATION_MAX


@pytest.mark.parametrize("run_ms", [100.0 * NEAR_MIN * 1.0001, 100.0 * NEAR_MAX * 0.9999])
def test_near_runs_never_add_to_a_sum(run_ms: float):
    for p95_ms in (100.0, 120.0, 400.0):
        assert abs(deviation(run_ms, predicted(100.0, p95_ms))) <= SLACK
