"""The trace reader: what it gives, and that it names file and line of what it cannot read."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.traces import ONE_TYPE, TraceRow, read_trace
from nexus_sched.traces.reader import LINE_LENGTH_MAX

HEADER = "submit_ts,start_ts,end_ts,task_type,payload_size,worker,worker_class,duration_s,status,extra\n"
TRACES = Path(__file__).parents[4] / "shared" / "traces"


def write(directory: Path, text: str | bytes, packed: bool = False) -> Path:
    path = directory / "trace.csv"
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_reader_full_row_gives_every_column(tmp_path: Path, packed: bool) -> None:
    path = write(tmp_path, HEADER + '1.5,2,5,resize,100,w-1,"big, fast",3.0,ok,x\n', packed)
    assert list(read_trace(path)) == [TraceRow(2, "resize", 3.0, 1.5, 2.0, 5.0, 100.0, "w-1", "big, fast", "ok")]


def test_reader_empty_cells_are_unknown_not_zero(tmp_path: Path) -> None:
    (row,) = read_trace(write(tmp_path, HEADER + ",,,resize,,,,3,,\n"))
    assert (row.submit_s, row.payload_size, row.worker, row.duration_s) == (None, None, "", 3.0)


def test_reader_rows_without_a_type_are_all_of_one(tmp_path: Path) -> None:
    assert [row.task_type for row in read_trace(write(tmp_path, "duration_s\n1\n2\n"))] == [ONE_TYPE, ONE_TYPE]
    assert [row.task_type for row in read_trace(write(tmp_path, HEADER + "1,2,3,,1,w,c,1,ok,x\n"))] == [ONE_TYPE]


def test_reader_other_column_may_hold_the_payload_size(tmp_path: Path) -> None:
    path = write(tmp_path, "payload_size,tokens,duration_s\n7,8,1\n7,,1\n")
    assert [row.payload_size for row in read_trace(path, "tokens")] == [8.0, None]
    with pytest.raises(InvalidInput, match=":1: no column token in the header"):
        list(read_trace(path, "token"))


def test_reader_needs_only_type_and_duration(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffduration_s,task_type\r\n0,a\r\n\r\n2,b\r\n")
    assert [(row.line, row.task_type, row.duration_s) for row in read_trace(path)] == [(2, "a", 0.0), (4, "b", 2.0)]


@pytest.mark.parametrize(
    ("body", "line", "problem"),
    [
        ("1,2,3,resize,1,w,c,fast,ok,x\n", 2, "duration_s 'fast' is not a number"),
        ("1,2,3,resize,1,w,c,1,ok,x\n1,2,3,resize,1,w,c,nan,ok,x\n", 3, "not finite"),
        ("inf,2,3,resize,1,w,c,1,ok,x\n", 2, "submit_ts 'inf' is not finite"),
        ("1,2,3,resize,1,w,c,-1,ok,x\n", 2, "must not be negative"),
        ("1,2,3,resize,-1,w,c,1,ok,x\n", 2, "must not be negative"),
        ("1,2,3,resize,1,w,c,,ok,x\n", 2, "duration_s is empty"),
        ("1,2,3,resize\n", 2, "4 cells where the header has 10"),
        ('1,2,3,"resize,1,w,c,1,ok,x\n', 2, "end of data"),
        ("x" * (LINE_LENGTH_MAX + 1), 2, "longer than"),
    ],
)
def test_reader_broken_row_is_refused_with_its_line(tmp_path: Path, body: str, line: int, problem: str) -> None:
    path = write(tmp_path, HEADER + body)
    with pytest.raises(InvalidInput) as caught:
        list(read_trace(path))
    assert f"{path}:{line}: " in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"worker,n\n", "no column duration_s"),
        (b"task_type,duration_s,duration_s\n", "more than once"),
        (b"task_type,duration_s\n\xff,1\n", ":2: not UTF-8"),
        (gzip.compress(HEADER.encode() + b"1,2,3,resize,1,w,c,1,ok,x\n" * 1_000)[:-20], "damaged or cut short"),
        (b"\x1f\x8bnot gzip", ": "),
    ],
)
def test_reader_broken_file_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(InvalidInput, match=problem):
        list(read_trace(path))


def test_reader_missing_file_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        list(read_trace(tmp_path / "none.csv"))


def test_reader_long_file_takes_bounded_memory(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "1,2,3,resize,1,w,c,1,ok,x\n" * 50_000, packed=True)
    tracemalloc.start()
    count = sum(1 for _ in read_trace(path))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 50_000
    assert peak_bytes < 1_000_000  # the text alone has 1.3 MB


@pytest.mark.parametrize("name", ["wfinstances", "aws_lambda_pacs", "llmperf_leaderboard", "burstgpt_vllm_replay"])
def test_reader_recorded_trace_is_read_to_its_end(name: str) -> None:
    path = TRACES / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip("the recorded traces are not beside this checkout (../shared/traces)")
    rows = {
        "wfinstances": 64_321,
        "aws_lambda_pacs": 29_746,
        "llmperf_leaderboard": 2_452,
        "burstgpt_vllm_replay": 6_000,
    }
    assert sum(1 for _ in read_trace(path)) == rows[name]
