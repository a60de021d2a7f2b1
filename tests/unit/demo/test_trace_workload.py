"""A trace as workload: sampled, renamed, stretched and scaled; classes measured from its own rows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nexus_sched.demo.fleet import mean_factors
from nexus_sched.demo.options import DemoOptions
from nexus_sched.demo.trace_workload import (
    OTHER_TYPE,
    TYPES_MAX,
    measured_factors,
    relative,
    sample,
    task_type_of,
    trace_arrivals_ms,
    trace_workload,
)
from nexus_sched.demo.workload import offered_load
from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import check_task_type
from nexus_sched.traces import TraceRow

TRACES = Path(__file__).parents[4] / "shared" / "traces"
OPTIONS = DemoOptions(workers=4, slots=2, rate=50.0, duration_s=4.0)


def rows_of(count: int) -> list[TraceRow]:
    return [TraceRow(line=index + 2, task_type="t", duration_s=1.0, submit_s=float(index)) for index in range(count)]


def test_sample_long_trace_is_even_over_the_file_and_in_order() -> None:
    found = sample(rows_of(10_000), 500, seed=1)
    lines = [row.line for row in found]
    assert lines == sorted(set(lines))
    assert len(lines) == 500
    assert 200 < sum(line < 5_000 for line in lines) < 300  # half of them, give or take
    assert found == sample(rows_of(10_000), 500, seed=1)


def test_sample_short_trace_is_repeated() -> None:
    found = sample(rows_of(3), 50, seed=1)
    assert len(found) == 50
    assert {row.line for row in found} == {2, 3, 4}


def test_arrivals_are_stretched_to_the_half() -> None:
    rows = [TraceRow(line, "t", 1.0, submit_s=at_s) for line, at_s in ((2, 100.0), (3, 150.0), (4, 300.0))]
    assert trace_arrivals_ms(rows, 4.0) == [0.0, 1_000.0, 4_000.0]


def test_arrivals_without_times_are_even() -> None:
    rows = [TraceRow(line, "t", 1.0) for line in range(4)]
    assert trace_arrivals_ms(rows, 4.0) == [0.0, 1_000.0, 2_000.0, 3_000.0]


def test_measured_factors_are_medians_over_their_geometric_mean() -> None:
    rows = [
        TraceRow(0, task_type, seconds, worker_class=name)
        for task_type, name, seconds in (("a", "slow", 4.0), ("a", "fast", 1.0), ("b", "slow", 9.0))
        for _ in range(3)
    ]
    factors = measured_factors(rows, frozenset({"a", "b"}), ["fast", "slow"])
    assert factors["slow"] == {"a": pytest.approx(2.0), "b": 1.0, OTHER_TYPE: 1.0}
    assert factors["fast"] == {"a": pytest.approx(0.5), "b": 1.0, OTHER_TYPE: 1.0}


def test_relative_extreme_factor_is_bounded() -> None:
    assert relative({"a": 1e-9, "b": 1e9}) == {"a": 0.1, "b": 10.0}
    assert relative({"a": 5.0}) == {}


def test_type_name_is_brought_into_the_alphabet() -> None:
    name = task_type_of(TraceRow(2, "größe, 100 %" + "x" * 300, 1.0))
    assert check_task_type(name).startswith("gr__e__100__x")


def test_trace_many_types_and_zero_durations_are_bounded_and_dropped(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    body = "".join(f"{index},type-{index},{index % 3}\n" for index in range(2_000))
    path.write_text("submit_ts,task_type,duration_s\n" + body)
    workload = trace_workload(path, OPTIONS)
    assert len(workload.tasks) == OPTIONS.tasks
    assert len({task.task_type for task in workload.tasks}) <= TYPES_MAX + 1
    assert all(task.duration_ms > 0.0 for task in workload.tasks)
    assert all(task.task_type in worker.factors for task in workload.tasks for worker in workload.fleet)


def test_trace_without_work_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("task_type,duration_s\nt,0\n")
    with pytest.raises(InvalidInput, match="no row has a duration above zero"):
        trace_workload(path, OPTIONS)


@pytest.mark.parametrize("name", ["wfinstances", "azure_llm_2023", "llmperf_leaderboard", "mooncake_fast25"])
def test_recorded_trace_becomes_a_workload_of_the_wished_load(name: str) -> None:
    path = TRACES / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip("the recorded traces are not beside this checkout (../shared/traces)")
    workload = trace_workload(path, OPTIONS)
    load = offered_load(workload.tasks, mean_factors(workload.fleet), 8, OPTIONS.duration_s)
    assert math.isclose(load, OPTIONS.load, rel_tol=0.02)
    assert len(workload.tasks) == OPTIONS.tasks
