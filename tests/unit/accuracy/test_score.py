"""The figures, held against ones worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nexus_sched.accuracy.drive import Answers
from nexus_sched.accuracy.score import SETTLING_TASKS, Score, ceiling, columns, score
from nexus_sched.model.prediction import TaskPrediction
from tests.unit.accuracy.traces import row, tasks


def told(p50_ms: float, p10_ms: float = 0.0, p90_ms: float = 0.0) -> TaskPrediction:
    return TaskPrediction(p50_ms, p50_ms, p50_ms, p50_ms, 1.0, "test", 1, "test", 1, p10_ms, p90_ms)


def scored(directory: Path, rows: list[str], predictions: list[TaskPrediction | None]) -> Score:
    trace = tasks(directory, rows)
    answers = Answers(predictions=predictions, notices=["n"], predict_ns=1.5, learn_ns=2.5, digest=255)
    return score(trace, answers, columns(trace, answers))


def test_score_of_four_known_tasks(tmp_path: Path):
    rows = [row(number, number, 1) for number in range(4)]
    found = scored(tmp_path, rows, [told(1_250.0), told(740.0), told(3_000.0), None])
    assert (found.tasks, found.coverage, found.within_25, found.second_half_within_25) == (4, 0.75, 0.25, 0.0)
    assert found.median_ape == pytest.approx(0.26)
    assert found.off_2x == pytest.approx(1 / 3)
    assert found.mean_abs_ln == pytest.approx((math.log(1.25) - math.log(0.74) + math.log(3.0)) / 3)
    assert found.mean_min_max == pytest.approx((0.8 + 0.74 + 1 / 3) / 3)
    assert (found.predict_ns, found.learn_ns, found.notices, found.digest) == (1.5, 2.5, 1, "00000000000000ff")


def test_score_unusable_predictions_are_misses_and_not_covered(tmp_path: Path):
    rows = [row(number, number, 1) for number in range(4)]
    found = scored(tmp_path, rows, [told(math.nan), told(math.inf), told(0.0), told(-1_000.0)])
    assert (found.coverage, found.within_25) == (0.0, 0.0)
    assert found.median_ape is found.off_2x is found.mean_abs_ln is found.mean_min_max is None


def test_score_band_is_closed_on_both_sides(tmp_path: Path):
    rows = [row(number, number, 1) for number in range(4)]
    found = scored(tmp_path, rows, [told(750.0), told(1_250.0), told(749.9), told(1_250.1)])
    assert found.within_25 == 0.5


def test_score_judges_intervals_after_the_first_tasks_only(tmp_path: Path):
    rows = [row(number, number, 1) for number in range(SETTLING_TASKS + 4)]
    early = [told(1_000.0, 1.0, 2.0)] * SETTLING_TASKS  # none of these holds
    late = [told(1_000.0, 500.0, 1_000.0), told(1_000.0, 1_000.0, 3_000.0), told(1_000.0, 1.0, 2.0), told(1_000.0)]
    found = scored(tmp_path, rows, [*early, *late])
    assert found.interval_80_tasks == 3  # the last one has no interval
    assert found.interval_80_coverage == pytest.approx(2 / 3)
    assert found.interval_80_width == 2.0
    assert found.quantile_coverage["p50"] == 1.0
    assert found.quantile_coverage["p10"] == pytest.approx(1 / 3)


def test_score_of_a_short_trace_says_nothing_of_intervals(tmp_path: Path):
    found = scored(tmp_path, [row(0, 0, 1)], [told(1_000.0, 500.0, 2_000.0)])
    assert found.interval_80_coverage is found.interval_80_width is None
    assert (found.interval_80_tasks, found.quantile_coverage) == (0, {})


def test_score_width_without_a_lower_bound_is_unknown(tmp_path: Path):
    rows = [row(number, number, 1) for number in range(SETTLING_TASKS + 1)]
    found = scored(tmp_path, rows, [told(1_000.0, 0.0, 2_000.0)] * len(rows))
    assert (found.interval_80_coverage, found.interval_80_width) == (1.0, None)


def test_score_names_the_types_that_take_most_time(tmp_path: Path):
    rows = [row(number, number, 1 + number % 12, f"type-{number % 12:02}") for number in range(48)]
    found = scored(tmp_path, rows, [told(2_000.0 if number < 24 else 500.0 * math.e) for number in range(48)])
    assert [kind.task_type for kind in found.types] == [f"type-{number:02}" for number in range(11, 1, -1)]
    costliest = found.types[0]
    assert (costliest.tasks, costliest.coverage) == (4, 1.0)
    assert costliest.time_share == pytest.approx(12 / 78)
    sigma = (math.log(2.0) - math.log(0.5 * math.e)) / 2  # half of the predictions are one, half are the other
    assert costliest.residual_sigma == pytest.approx(abs(sigma))
    assert costliest.ceiling == pytest.approx(ceiling(abs(sigma)))


def test_score_sigma_by_quartiles_leaves_outliers_out(tmp_path: Path):
    rows = [row(number, number, 1) for number in range(100)]
    found = scored(tmp_path, rows, [told(1_000.0 if number else 1e9) for number in range(100)])
    (kind,) = found.types
    assert kind.residual_sigma is not None
    assert kind.residual_sigma > 1.0
    assert (kind.core_sigma, kind.core_ceiling) == (0.0, 1.0)


@pytest.mark.parametrize(("sigma", "share"), [(0.15, 0.91), (0.20, 0.80), (0.25, 0.69), (0.40, 0.48), (0.0, 1.0)])
def test_ceiling_agrees_with_the_known_ones(sigma: float, share: float):
    assert ceiling(sigma) == pytest.approx(share, abs=0.005)
