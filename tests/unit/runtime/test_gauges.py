"""A quantile of the histogram is off by at most a sixteenth, upwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_sched.model.frame import Spread
from nexus_sched.runtime.gauges import LogHistogram


@given(st.lists(st.floats(1.0, 1e11), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_quantile_is_never_below_and_at_most_a_sixteenth_above(values: list[float], share: float):
    histogram = LogHistogram()
    for value in values:
        histogram.observe(value)
    rank = max(1, -int(-share * len(values) // 1))
    exact = sorted(values)[rank - 1]
    assert exact <= histogram.quantile(share) <= exact * (1 + 1 / 16)


def test_empty_histogram_says_zero():
    assert LogHistogram().quantile(0.5) == 0.0
    assert LogHistogram().spread(1.0) == Spread()


@pytest.mark.parametrize("value", [-5.0, 0.0, 0.5, 1.0])
def test_small_values_share_the_first_bucket(value: float):
    histogram = LogHistogram()
    histogram.observe(value)
    assert histogram.quantile(1.0) == 1.0 + 1 / 16


def test_values_beyond_the_last_bucket_are_counted_in_it():
    histogram = LogHistogram()
    histogram.observe(1e300, times=3)
    assert (histogram.count, histogram.quantile(0.5)) == (3, float(2**40))


def test_counted_times_weigh_like_as_many_values():
    histogram = LogHistogram()
    histogram.observe(1_000.0, times=99)
    histogram.observe(1e6)
    spread = histogram.spread(1e-3)
    assert spread.p50 == pytest.approx(1.0, rel=1 / 16)
    assert spread.p99 == pytest.approx(1.0, rel=1 / 16)
    assert spread.count == 100
    histogram.clear()
    assert histogram.spread(1.0) == Spread()
