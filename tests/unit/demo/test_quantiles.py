"""The statistics of the table, against known values and numpy."""

from __future__ import annotations

import random

import numpy
import pytest

from nexus_sched.demo.quantiles import (
    Quantiles,
    Tails,
    quantile,
    quantiles,
    share_within,
    tails,
    variation,
    variation_by_group,
)


def test_quantile_agrees_with_numpy_on_random_values() -> None:
    draw = random.Random(7)
    for count in (1, 2, 3, 10, 999):
        values = sorted(draw.lognormvariate(0.0, 2.0) for _ in range(count))
        for share in (0.0, 0.5, 0.95, 0.99, 1.0):
            assert quantile(values, share) == pytest.approx(numpy.quantile(values, share))


def test_quantiles_without_values_say_nothing() -> None:
    assert quantiles([]) == Quantiles(None, None, None)
    assert tails([]) == Tails(None, None)
    assert variation([]) is None
    assert variation([0.0, 0.0]) is None
    assert variation_by_group({"a": [1.0]}) is None
    assert share_within([], 0.25) is None


def test_variation_is_population_deviation_over_mean() -> None:
    assert variation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == pytest.approx(2.0 / 5.0)


def test_variation_by_group_weights_groups_by_count() -> None:
    groups = {"wide": [1.0, 3.0], "flat": [5.0] * 6, "single": [100.0]}
    assert variation_by_group(groups) == pytest.approx(2 * 0.5 / 8)


def test_share_within_counts_both_sides_and_the_border() -> None:
    pairs = [(75.0, 100.0), (125.0, 100.0), (74.9, 100.0), (125.1, 100.0), (5.0, 0.0)]
    assert share_within(pairs, 0.25) == 0.5
