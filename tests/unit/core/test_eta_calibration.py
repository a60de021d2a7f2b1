"""Promised quantiles are met whatever the raw ones are worth, and probabilities follow them."""

from __future__ import annotations

from math import exp
from random import Random

import pytest

from nexus_sched.core.eta_calibration import FREE_SLOT, WAITED, Calibration, Factors, Raw, on_time

TIMES = 6_000


def raw(p50_ms: float, spread80_ms: float, spread95_ms: float) -> Raw:
    return Raw(0.0, 0.0, 0.0, p50_ms, spread80_ms, spread95_ms, 0.5, "told", FREE_SLOT)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.8])
@pytest.mark.parametrize("wrong", [0.9, 1.0, 1.1], ids=["too low", "right", "too high"])
@pytest.mark.parametrize("wide", [0.5, 1.0, 3.0], ids=["too narrow", "right width", "too wide"])
def test_quantiles_are_met_after_a_while(sigma: float, wrong: float, wide: float):
    random = Random(17)
    factors = Factors()
    told = raw(1_000.0 * wrong, 1_000.0 * wide * (exp(0.84 * sigma) - 1), 1_000.0 * wide * (exp(1.64 * sigma) - 1))
    hits = [0, 0, 0]
    for number in range(TIMES):
        actual_ms = 1_000.0 * exp(random.gauss(0.0, sigma))
        if number >= TIMES // 2:
            hits = [hit + (actual_ms <= at_ms) for hit, at_ms in zip(hits, factors.quantiles(told), strict=True)]
        factors.learn(told, actual_ms)
    shares = [hit / (TIMES - TIMES // 2) for hit in hits]
    assert 0.46 <= shares[0] <= 0.54
    assert 0.77 <= shares[1] <= 0.83
    assert 0.93 <= shares[2] <= 0.97


def test_sure_types_keep_their_median_while_wide_ones_are_corrected():
    factors = Factors()
    for _ in range(500):
        factors.learn(raw(1_000.0, 1_000.0, 2_000.0), 1_900.0)
    assert factors.quantiles(raw(1_000.0, 1_000.0, 2_000.0))[0] > 1_300.0
    assert factors.quantiles(raw(1_000.0, 20.0, 40.0))[0] < 1_040.0


def test_quantiles_stay_in_order():
    random = Random(23)
    factors = Factors()
    for _ in range(2_000):
        told = raw(random.uniform(0.0, 100.0), random.uniform(0.0, 100.0), random.uniform(0.0, 100.0))
        p50_ms, p80_ms, p95_ms = factors.quantiles(told)
        assert 0.0 <= p50_ms <= p80_ms <= p95_ms
        factors.learn(told, random.expovariate(0.01))


def test_ways_are_corrected_apart_and_hits_are_counted():
    calibration = Calibration.fresh()
    calibration.factors(WAITED).learn(raw(100.0, 10.0, 20.0), 500.0)
    assert calibration.factors(FREE_SLOT) == Factors()
    assert calibration.recent_within == -1.0
    calibration.count(within=True)
    assert calibration.recent_within == 1.0
    for _ in range(300):
        calibration.count(within=False)
        calibration.count(within=True)
    assert calibration.recent_within == pytest.approx(0.5, abs=0.02)


def test_probability_of_a_deadline_follows_the_quantiles():
    told = (100.0, 150.0, 200.0)
    assert [on_time(told, limit_ms) for limit_ms in (100.0, 150.0, 200.0)] == pytest.approx([0.5, 0.8, 0.95])
    assert on_time(told, 125.0) == pytest.approx(0.65)
    assert on_time(told, 0.0) == on_time(told, -5.0) == 0.0
    assert on_time(told, 1e9) == 1.0
    limits = [5.0 * step for step in range(200)]
    chances = [on_time(told, limit_ms) for limit_ms in limits]
    assert chances == sorted(chances)


def test_probability_without_spread_is_a_step():
    sure = (100.0, 100.0, 100.0)
    assert on_time(sure, 101.0) == 1.0
    assert on_time(sure, 99.0) < 0.06
