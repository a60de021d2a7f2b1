"""Figures of small histories, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nexus_sched.model.eta import Eta
from nexus_sched.model.task import PRIORITY_DEFAULT, Task
from nexus_sched.model.terms import Terms
from nexus_sched.sim.figures import FIGURES, nested
from nexus_sched.sim.history import History
from nexus_sched.sim.measure import busy_ms, measure, up_ms, variation_by_type
from nexus_sched.sim.summary import gap_closed, half_widths, means
from tests.unit.sim.workloads import workload


def history(started_ms, finished_ms, workers, until_ms, fleet=1) -> History:
    made = History(len(started_ms))
    made.started_ms, made.finished_ms, made.worker = list(started_ms), list(finished_ms), list(workers)
    made.ended, made.until_ms = len(started_ms), until_ms
    made.up = [[(0.0, until_ms)] for _ in range(fleet)]
    return made


def test_response_and_slowdown_are_counted_after_the_first_fifth():
    tasks = workload([0.0, 10.0, 20.0, 30.0, 40.0], [8.0, 8.0, 4.0, 4.0, 2.0], slowness=(1.0, 0.5))
    found = measure(tasks, history([9e9, 10.0, 24.0, 30.0, 48.0], [9e9, 18.0, 28.0, 34.0, 50.0], [0] * 5, 50.0, 2))
    assert found["response_s.mean"] == pytest.approx((8 + 8 + 4 + 10) / 4 / 1000)
    assert found["slowdown.mean"] == pytest.approx((8 / 4 + 8 / 2 + 4 / 2 + 10 / 1) / 4)  # worker 1 is twice as fast
    assert found["wait_max_s"] == 0.008
    assert found["unfinished"] == 0.0


def test_utilisation_is_that_between_warm_up_and_last_arrival():
    tasks = workload([0.0, 100.0, 150.0, 180.0, 200.0], [50.0] * 5, slowness=(1.0, 1.0))
    ran = history([0.0, 100.0, 150.0, 180.0, 230.0], [50.0, 150.0, 200.0, 230.0, 280.0], [0, 0, 0, 1, 1], 280.0, 2)
    found = measure(tasks, ran)
    assert found["utilisation.mean"] == pytest.approx((1.0 + 0.2) / 2)
    assert found["utilisation.spread"] == pytest.approx(0.8)
    assert found["utilisation.cv"] == pytest.approx(0.4 / 0.6)


def test_wasted_runs_are_busy_time_and_absence_is_none():
    tasks = workload([0.0, 0.0], [10.0, 10.0], slots=2)
    ran = history([0.0, 30.0], [10.0, 40.0], [0, 0], 40.0)
    ran.wasted, ran.up = [(0, 5.0, 15.0)], [[(0.0, 15.0), (30.0, 40.0)]]
    edges = np.array([0.0, 10.0, 20.0, 40.0])
    assert busy_ms(tasks, ran, edges).tolist() == [[15.0, 5.0, 10.0]]
    assert up_ms(tasks, ran, edges).tolist() == [[20.0, 10.0, 20.0]]


def test_variation_is_the_mean_over_types_by_their_tasks():
    response = np.array([1.0, 3.0, 1.0, 3.0, 5.0, 5.0, 7.0])
    types = np.array([0, 0, 0, 0, 1, 1, 2])
    assert variation_by_type(response, types) == pytest.approx((4 * 0.5 + 2 * 0.0) / 6)
    assert variation_by_type(response[6:], types[6:]) is None


def test_etas_count_from_the_instant_they_were_told():
    tasks = workload([0.0] * 5, [10.0] * 5)
    ran = history([0.0] * 5, [10.0, 100.0, 100.0, 100.0, 100.0], [0] * 5, 100.0)

    def eta(at_ms: int, p50_ms: float, p80_ms: float) -> Eta:
        return Eta(at_ms, 0.0, 0.0, 0.0, p50_ms, p80_ms, p80_ms, 1.0, "by hand")

    ran.etas = [None, eta(0, 80.0, 99.0), eta(50, 50.0, 60.0), eta(0, -1.0, -1.0), None]
    found = measure(tasks, ran)
    assert found["eta_coverage"] == 0.5
    assert found["eta_within_25"] == found["eta_within_25_predictable"] == 1.0
    assert found["eta_p80_coverage"] == 0.5


def test_estimates_that_were_too_early_count_as_refreshed_once_told_again():
    tasks = workload([0.0] * 10, [10.0] * 10)
    ran = history([0.0] * 10, [100.0] * 10, [0] * 10, 100.0)
    eta = [Eta(0, 0.0, 0.0, 0.0, p50_ms, p50_ms, p50_ms, 1.0, "by hand") for p50_ms in (50.0, 100.0, 200.0)]
    for number, told in ((2, [0]), (3, [0, 1]), (4, [0, 0, 1]), (5, [1]), (6, [2])):
        for place in told:
            ran.tell(number, eta[place])
    assert (ran.etas[4], ran.latest_etas[4], ran.latest_etas[2]) == (eta[0], eta[1], None)
    assert measure(tasks, ran)["eta_refreshed"] == pytest.approx(2 / 3)


def test_tenants_are_told_apart_by_the_work_they_bring():
    names = ["", "big", "big", "big", "small"]
    tasks = [Task(str(n), "t", PRIORITY_DEFAULT, 0, 0, asks=Terms(tenant=name)) for n, name in enumerate(names)]
    ran = history([0.0] * 5, [10.0, 20.0, 20.0, 20.0, 50.0], [0] * 5, 50.0)
    found = measure(workload([0.0] * 5, [10.0] * 5, tasks=tasks), ran)
    assert found["tenants.heavy_slowdown"] == 2.0
    assert found["tenants.modest_slowdown"] == 5.0


def test_tasks_that_were_given_up_are_counted_and_not_measured():
    tasks = workload([0.0] * 5, [10.0] * 5)
    ran = history([0.0] * 4 + [-1.0], [10.0] * 4 + [-1.0], [0] * 4 + [-1], 10.0)
    ran.given_up[4] = True
    found = measure(tasks, ran)
    assert (found["unfinished"], found["response_s.mean"]) == (1.0, 0.01)


def test_interval_over_seeds_is_students():
    runs = [{"type_cv": 1.0}, {"type_cv": 2.0}, {"type_cv": 3.0}]
    assert means(runs)["type_cv"] == 2.0
    assert half_widths(runs)["type_cv"] == pytest.approx(4.303 / math.sqrt(3))
    assert half_widths(runs[:1])["type_cv"] is None
    assert means(runs)["warm"] is None


def test_gap_closed_is_the_way_from_the_baseline_to_the_oracle():
    ours, baseline, oracle = ({"response_s.mean": value} for value in (3.0, 5.0, 1.0))
    assert gap_closed(ours, baseline, oracle) == 0.5
    assert gap_closed(ours, baseline, {"response_s.mean": 4.99}) is None  # hardly a gap
    assert gap_closed(ours, oracle, baseline) is None  # knowledge did harm


def test_every_figure_has_its_place_in_the_object():
    found = nested({figure.name: float(place) for place, figure in enumerate(FIGURES)})
    assert found["response_s"] == {"mean": 0.0, "p50": 1.0, "p99": 2.0}
    assert {"slowdown", "utilisation", "type_cv", "eta_within_25", "gap_closed", "decisions_per_s"} <= found.keys()
