"""A trace as columns: order, what is dropped, what may be absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_sched.accuracy.tasks import read_tasks
from nexus_sched.errors import InvalidInput
from nexus_sched.traces import ONE_TYPE
from tests.unit.accuracy.traces import HEADER, row, tasks, write


def test_tasks_row_becomes_a_task_with_all_that_is_known(tmp_path: Path):
    found = tasks(tmp_path, ["1.5,2,5,resize,100,w-1,c-1,3.0,ok"])
    (task,) = found.tasks
    assert (task.type, task.payload_bytes, task.arrived_at_ms, task.hint_ms) == ("resize", 100, 1_500, None)
    assert (found.workers, found.classes, found.run_ms) == (["w-1"], ["c-1"], [3_000.0])
    assert (found.moments_s, found.ends_s, found.learned_at_ms) == ([1.5], [5.0], [5_000])


def test_tasks_columns_may_be_absent(tmp_path: Path):
    found = tasks(tmp_path, ["2", "3"], header="duration_s")
    assert [(task.type, task.payload_bytes) for task in found.tasks] == [(ONE_TYPE, 0)] * 2
    assert (found.workers, found.classes) == ([None, None], ["", ""])
    assert (found.moments_s, found.ends_s, found.learned_at_ms) == ([None, None], [None, None], [0, 0])


def test_tasks_without_duration_or_success_are_dropped_and_counted(tmp_path: Path):
    rows = ["0,0,1,a,,,,0,", "1,1,2,a,,,,1,", "2,2,3,a,,,,1,FAILED", "3,3,4,a,,,,1,killed", "4,4,5,a,,,,1,ok"]
    found = tasks(tmp_path, rows)
    assert (len(found), found.dropped, found.lines) == (2, 3, [3, 6])


def test_tasks_are_in_the_order_of_their_prediction(tmp_path: Path):
    rows = [row(0, 9, 1), row(1, 3, 1), row(2, 3, 1)]
    assert tasks(tmp_path, rows).lines == [2, 3, 4]
    started = tasks(tmp_path, rows, at="start")
    assert started.lines == [3, 4, 2]
    assert started.moments_s == [3.0, 3.0, 9.0]


def test_tasks_in_a_file_out_of_order_are_sorted(tmp_path: Path):
    assert tasks(tmp_path, [row(5, 5, 1), row(1, 1, 1), row("", "", 1), row(3, 3, 1)]).lines == [3, 4, 5, 2]


def test_tasks_one_time_serves_for_both(tmp_path: Path):
    assert tasks(tmp_path, ["1,7"], header="start_ts,duration_s").moments_s == [1.0]
    assert tasks(tmp_path, ["1,7"], header="submit_ts,duration_s", at="start").moments_s == [1.0]


def test_tasks_sizes_with_a_fraction_keep_it(tmp_path: Path):
    found = tasks(tmp_path, [row(0, 0, 1, size="0.25"), row(1, 1, 1, size="3")])
    assert [task.payload_bytes for task in found.tasks] == [250, 3_000]


def test_tasks_of_an_empty_trace_are_refused(tmp_path: Path):
    with pytest.raises(InvalidInput, match="no row has a duration above zero"):
        read_tasks(write(tmp_path, ["0,0,1,a,,,,0,"], HEADER))
