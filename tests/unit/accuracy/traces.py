"""Small traces with known answers, and where the recorded ones are."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path

import pytest

from nexus_sched.accuracy.tasks import Moment, TraceTasks, read_tasks

HEADER = "submit_ts,start_ts,end_ts,task_type,payload_size,worker,worker_class,duration_s,status"
RECORDED = Path(__file__).parents[4] / "shared" / "traces"


def write(directory: Path, rows: list[str], header: str = HEADER) -> Path:
    path = directory / "trace.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def tasks(directory: Path, rows: list[str], header: str = HEADER, at: Moment = "submit") -> TraceTasks:
    return read_tasks(write(directory, rows, header), at)


def row(submit_s: float | str, start_s: float | str, duration_s: float, task_type: str = "a", size: str = "") -> str:
    """A run that ended `duration_s` after it started."""
    end_s = "" if start_s == "" else float(start_s) + duration_s
    return f"{submit_s},{start_s},{end_s},{task_type},{size},w-1,c-1,{duration_s},"


def recorded_slice(name: str, count: int, directory: Path) -> Path:
    """The first rows of a recorded trace; skips where there is none."""
    source = RECORDED / f"{name}.csv.gz"
    if not source.exists():
        pytest.skip("the recorded traces are not beside this checkout (../shared/traces)")
    path = directory / f"{name}.csv"
    with gzip.open(source, "rt") as stream:
        path.write_text("".join(islice(stream, count + 1)))
    return path


class Silence:
    """Progress that nobody watches."""

    def begin(self, phase: str, total: int) -> None: ...
    def update(self, done: int, state: str) -> None: ...
    def end(self, state: str) -> None: ...
