"""The plan of a half: the same for the same seed, at the wished load, and unequal in the ways it should be."""

from __future__ import annotations

import math
from statistics import median

import pytest

from nexus_sched.demo.fleet import WorkerProfile, make_fleet, mean_factors
from nexus_sched.demo.options import DemoOptions
from nexus_sched.demo.workload import (
    CLASSES,
    GENERATED_TYPES,
    LONGEST_SHARE,
    PlannedTask,
    generated_workload,
    offered_load,
    scaled,
)
from nexus_sched.errors import InvalidInput


def test_workload_same_seed_gives_the_same_plan() -> None:
    options = DemoOptions(rate=50.0, duration_s=4.0, workers=5)
    assert generated_workload(options) == generated_workload(options)
    assert generated_workload(options) != generated_workload(DemoOptions(rate=50.0, duration_s=4.0, workers=5, seed=2))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_workload_has_the_count_rate_and_load_asked_for(seed: int) -> None:
    options = DemoOptions(seed=seed)
    workload = generated_workload(options)
    arrivals = [task.arrival_ms for task in workload.tasks]
    assert len(arrivals) == 6000
    assert arrivals == sorted(arrivals)
    assert 0.0 <= arrivals[0] < 200.0
    assert 29_800.0 < arrivals[-1] <= 30_000.0
    load = offered_load(workload.tasks, mean_factors(workload.fleet), 48, options.duration_s)
    assert load == pytest.approx(options.load, rel=0.01)
    assert max(task.duration_ms for task in workload.tasks) <= LONGEST_SHARE * 30_000.0


def test_workload_arrivals_swing_around_the_rate() -> None:
    tasks = generated_workload(DemoOptions(rate=1_000.0)).tasks
    per_second = [sum(second <= task.arrival_ms / 1_000.0 < second + 1 for task in tasks) for second in range(30)]
    assert 1_150 < max(per_second) < 1_450
    assert 550 < min(per_second) < 850


def test_workload_types_rank_the_machine_classes_differently() -> None:
    fleet = generated_workload(DemoOptions()).fleet
    ranks = set()
    for kind in GENERATED_TYPES:
        means = {
            name: median(worker.factors[kind.name] for worker in fleet if worker.worker_class == name)
            for name in CLASSES
        }
        ranks.add(tuple(sorted(means, key=means.__getitem__)))
    assert len(ranks) >= 3


def test_generated_types_have_factors_around_one_and_shares_that_sum_to_one() -> None:
    assert math.fsum(kind.share for kind in GENERATED_TYPES) == pytest.approx(1.0)
    for kind in GENERATED_TYPES:
        middle = math.exp(math.fsum(map(math.log, kind.class_factors)) / len(CLASSES))
        assert middle == pytest.approx(1.0, abs=0.03)


def test_fleet_speeds_are_the_same_set_for_every_seed() -> None:
    same = {"all": {"task": 1.0}}
    first = [worker.factors["task"] for worker in make_fleet(24, same, seed=1)]
    second = [worker.factors["task"] for worker in make_fleet(24, same, seed=2)]
    assert first != second
    assert sorted(first) == sorted(second)
    assert math.prod(first) == pytest.approx(1.0)
    assert max(first) / min(first) > 3.0


def test_fleet_without_spread_is_of_equal_speed() -> None:
    assert {worker.factors["task"] for worker in make_fleet(5, {"all": {"task": 2.0}}, 1, sigma=0.0)} == {2.0}


def test_scaled_cuts_the_longest_and_keeps_the_load_by_the_others() -> None:
    options = DemoOptions(workers=4, slots=1, rate=20.0, duration_s=10.0, load=0.5)
    fleet = [WorkerProfile(f"w-{index}", "all", {"task": 1.0}) for index in range(4)]
    tasks = [PlannedTask(number, "task", 5, 0.0, 1e6 if number == 0 else 1.0) for number in range(200)]
    result = scaled(tasks, fleet, options)
    assert result[0].duration_ms == LONGEST_SHARE * 10_000.0
    assert offered_load(result, {"task": 1.0}, 4, 10.0) == pytest.approx(0.5, rel=0.01)
    assert [task.number for task in result] == list(range(200))


@pytest.mark.parametrize(
    "broken",
    [
        {"workers": 0},
        {"workers": 501},
        {"slots": 0},
        {"rate": float("nan")},
        {"rate": 0.0},
        {"duration_s": 0.5},
        {"duration_s": float("inf")},
        {"load": -1.0},
        {"rate": 10_000.0, "duration_s": 3_600.0},
    ],
)
def test_options_out_of_bounds_are_refused(broken: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="it must be from"):
        DemoOptions(**broken)  # type: ignore[arg-type]  # the wrong values are the point
