"""Workloads from generators, traces and matrices: what they hold, and what is said of bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.sim.arrivals import poisson_ms, random_stream, stretched_ms
from nexus_sched.sim.matrix import matrix_workload, read_matrix
from nexus_sched.sim.options import SimulationOptions
from nexus_sched.sim.recorded import read_recording, recorded_workload
from nexus_sched.sim.scenarios import SCENARIOS, Size, generate
from nexus_sched.sim.summary_matrix import draw_matrix, is_summary
from tests.structure.sources import ROOT
from tests.unit.sim.workloads import write_matrix

SUMMARY = ROOT / "../shared/traces/azure_vm_type_class_matrix.csv"
HEADER = "instance,task_type,payload_size,worker_class,duration_s\n"
GOOD = HEADER + "i1,a,10,x,1.0\ni1,a,10,y,4.0\ni2,b,2.5,x,3.0\ni2,b,2.5,y,2.0\n"


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "file.csv") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


# -- generated


@pytest.mark.parametrize("name", SCENARIOS)
def test_load_is_the_work_that_arrives_per_slot_if_it_is_spread_by_speed(name: str):
    workload = generate(name, Size(workers=50, tasks=20_000, load=0.8, slots=2), 1)
    speed = sum(each.slots / each.slowness for each in workload.workers)
    scales_ms = np.array(workload.truth.mean_ms) / np.mean([each.slowness for each in workload.workers])
    own = 1.5 if name == "affinity" else 1.0  # the load of affinity counts cold starts of half of the tasks
    assert own * scales_ms.sum() / (workload.arrivals_ms[-1] * speed) == pytest.approx(0.8, rel=0.02)
    assert workload.arrivals_ms == sorted(workload.arrivals_ms)


def test_burst_goes_up_and_down_around_the_load():
    workload = generate("burst", Size(workers=50, tasks=20_000, load=0.8), 1)
    counts, _ = np.histogram(workload.arrivals_ms, bins=10, range=(0.0, workload.arrivals_ms[-1]))
    assert counts.tolist() == pytest.approx([3_000, 1_000] * 5, rel=0.1)


def test_churn_kills_a_fifth_and_brings_half_of_these_back():
    workload = generate("churn", Size(workers=50, tasks=1_000, load=0.8), 1)
    dead = [fault.worker for fault in workload.faults if not fault.joins]
    back = [fault.worker for fault in workload.faults if fault.joins]
    assert (len(set(dead)), len(back)) == (10, 5)
    assert set(back) < set(dead)


def test_slow_spell_is_the_middle_third_of_one_in_twenty():
    workload = generate("slow", Size(workers=40, tasks=1_000, load=0.8), 1)
    plain = generate("hetero", Size(workers=40, tasks=1_000, load=0.8), 1)
    middle_ms = workload.arrivals_ms[-1] / 2.0
    ratios = workload.truth.on_all_ms(0, middle_ms) / plain.truth.on_all_ms(0, middle_ms)
    assert sorted(ratios.tolist()) == [1.0] * 38 + [5.0] * 2
    assert workload.truth.on_all_ms(0, 0.0).tolist() == plain.truth.on_all_ms(0, 0.0).tolist()


def test_identical_workers_are_identical():
    assert {each.slowness for each in generate("identical", Size(workers=9, tasks=9, load=0.5), 1).workers} == {1.0}


def test_poisson_arrivals_keep_their_rate_beyond_the_last_level():
    arrivals = poisson_ms(40_000, 2.0, random_stream(1, "arrivals"), (1.5, 0.5))
    assert arrivals[-1] == pytest.approx(20_000.0, rel=0.02)
    assert np.all(np.diff(arrivals) >= 0.0)


# -- measured


def test_matrix_workload_has_the_measured_time_of_every_placement(written):
    matrix = read_matrix(written(GOOD))
    assert (matrix.classes, matrix.types, matrix.payload_bytes.tolist()) == (["x", "y"], ["a", "b"], [10_000, 2_500])
    workload = matrix_workload(matrix, workers_per_class=3, tasks=4_000, load=0.5, rtt_ms=1.0, seed=1)
    assert [each.worker_class for each in workload.workers] == ["x"] * 3 + ["y"] * 3
    number = workload.type_of.index(1)
    assert [workload.truth.run_ms(number, worker, 0.0) for worker in range(6)] == [3_000.0] * 3 + [2_000.0] * 3
    assert workload.truth.fastest_ms[number] == 2_000.0
    assert workload.truth.fastest_ms[workload.type_of.index(0)] == 1_000.0
    rate_per_ms = 0.5 * (3 / 2_000.0 + 3 / 3_000.0)  # mean durations are 2 s on x and 3 s on y
    assert 4_000 / workload.arrivals_ms[-1] == pytest.approx(rate_per_ms, rel=0.05)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER, ": there is no row"),
        ("task_type,worker_class,duration_s\na,x,1\n", ":2: instance is empty, or the file has no such column"),
        (GOOD + "i3,a,1,,1\n", ":6: worker_class is empty"),
        (GOOD + "i3,a,1,x,0\n", ":6: duration_s must be above zero"),
        (GOOD + "i3,a,1,x,\n", ":6: duration_s is empty"),
        (GOOD + "i3,a,1,x,fast\n", ":6: duration_s 'fast' is not a number"),
        (GOOD + "i3,a,1,x,-1\n", ":6: duration_s and payload_size must not be negative"),
        (GOOD + "i1,a,10,x,1\n", ":6: instance 'i1' is on 'x' a second time"),
        (GOOD + "i1,b,10,z,1\n", ":6: instance 'i1' has another type or payload than in line 2"),
        (GOOD + "i3,a,1,x,1\n", ":6: instance 'i3' has no duration on y (named first in line 3)"),
        (GOOD + "i3,a,1\n", ":6: 3 cells where the header has 5"),
        (HEADER.replace("duration_s", "seconds") + "i,a,1,x,1\n", ":1: no column duration_s"),
    ],
)
def test_bad_matrix_is_told_with_its_line(written, text: str, problem: str):
    path = written(text)
    with pytest.raises(InvalidInput) as caught:
        read_matrix(path)
    assert str(caught.value).startswith(f"{path}{problem}")


def test_summary_is_drawn_around_its_medians_and_read_back_as_written(written, tmp_path: Path):
    path = written("task_type,worker_class,n,median_s,cv\na,x,5,2.0,0.1\na,y,5,8.0,0.5\nb,x,5,1.0,0.0\n")
    assert is_summary(path)
    matrix = draw_matrix(path, seed=1, instances=4_000)
    assert matrix.types == ["a"]  # b was not measured on y
    assert np.median(matrix.durations_ms, axis=0).tolist() == pytest.approx([2_000.0, 8_000.0], rel=0.03)
    variation = matrix.durations_ms.std(axis=0) / matrix.durations_ms.mean(axis=0)
    assert variation.tolist() == pytest.approx([0.1, 0.5], rel=0.06)
    assert np.corrcoef(np.log(matrix.durations_ms).T)[0, 1] == pytest.approx(0.5, abs=0.05)
    long_form = tmp_path / "long.csv"
    write_matrix(matrix, long_form)
    assert not is_summary(long_form)
    assert np.allclose(read_matrix(long_form).durations_ms, matrix.durations_ms, rtol=1e-12)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("a,x,1,0.1\na,x,1,0.1\n", ":3: 'a' is on 'x' a second time"),
        ("a,x,one,0.1\n", ":2: 'one' or '0.1' is not a number"),
        ("a,x,0,0.1\n", ":2: median_s must be above zero"),
        ("a,x,1\n", ":2: a cell is missing"),
        ("", ": no type was measured"),
    ],
)
def test_bad_summary_is_told_with_its_line(written, rows: str, problem: str):
    path = written("task_type,worker_class,median_s,cv\n" + rows)
    with pytest.raises(InvalidInput) as caught:
        draw_matrix(path, seed=1)
    assert str(caught.value).startswith(f"{path}{problem}")


@pytest.mark.skipif(not SUMMARY.exists(), reason=f"the recorded traces are not there: {SUMMARY}")
def test_recorded_summary_makes_a_workload():
    options = SimulationOptions(matrix=SUMMARY, workers_per_class=2, tasks=50)
    workload = options.source()(1)
    assert len(workload.workers) == 2 * len({each.worker_class for each in workload.workers})
    assert len(workload.tasks) == 50


# -- recorded

TRACE = "submit_ts,task_type,worker,worker_class,duration_s,status\n" + "".join(
    f"{100 + number},a,{worker},{kind},{seconds},\n"
    for number, (worker, kind, seconds) in enumerate(
        [("w1", "x", 1.0), ("w1", "x", 1.0), ("w1", "x", 2.0), ("w2", "y", 4.0), ("w3", "y", 4.0), ("w4", "y", 8.0)]
    )
)


def test_trace_on_another_class_takes_as_much_longer_as_its_type_does_there(written):
    recording = read_recording(written(TRACE), 100)
    workload = recorded_workload(recording, workers=4, slots=1, load=0.5, rtt_ms=1.0, seed=1)
    assert [each.worker_class for each in workload.workers] == ["x", "y", "y", "y"]
    on_x, on_y = 0, 1
    assert workload.truth.run_ms(2, on_x, 0.0) == pytest.approx(2_000.0)
    assert workload.truth.run_ms(2, on_y, 0.0) == pytest.approx(8_000.0)  # medians are 1 s and 4 s
    assert workload.truth.run_ms(5, on_x, 0.0) == pytest.approx(2_000.0)
    gaps = np.diff(workload.arrivals_ms)
    assert gaps.tolist() == pytest.approx([float(gaps[0])] * 5)


def test_trace_keeps_only_what_succeeded_and_no_more_than_was_asked_for(written):
    path = written(TRACE + "107,a,w1,x,1.0,failed\n108,a,w1,x,0,\n109,a,w1,x,3.0,ok\n")
    assert len(read_recording(path, 100).type_of) == 7
    assert len(read_recording(path, 2).type_of) == 2
    with pytest.raises(InvalidInput, match="no row that succeeded"):
        read_recording(written("duration_s\n0\n", "none.csv"), 5)


def test_trace_without_times_arrives_at_random(written):
    recording = read_recording(written("duration_s\n" + "1\n" * 50), 100)
    workload = recorded_workload(recording, workers=2, slots=1, load=0.5, rtt_ms=1.0, seed=1)
    assert len(set(np.diff(workload.arrivals_ms).tolist())) > 40
    assert stretched_ms(np.array([3.0, 3.0]), 1.0) is None


# -- options


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "name one of"),
        ({"synthetic": "hetero", "trace": Path("x")}, "name one of"),
        ({"synthetic": "hetro"}, "no scenario is called 'hetro'"),
        ({"synthetic": "hetero", "workers": 0}, "workers is 0"),
        ({"synthetic": "hetero", "load": float("nan")}, "load is nan"),
        ({"synthetic": "hetero", "seeds": 0}, "seeds is 0"),
        ({"synthetic": "hetero", "rtt_ms": -1.0}, "round trip time is -1.0"),
    ],
)
def test_bad_options_are_told(given, problem: str):
    with pytest.raises(InvalidInput, match=problem):
        SimulationOptions(**given)


def test_round_trip_is_the_scenarios_own_unless_it_is_given():
    own = SimulationOptions(synthetic="short", workers=2, tasks=10)
    assert own.source()(1).rtt_ms == 4.0
    given = SimulationOptions(synthetic="short", workers=2, tasks=10, rtt_ms=0.5)
    assert given.source()(1).rtt_ms == 0.5
