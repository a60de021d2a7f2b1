"""A trace as columns of tasks, in the order in which they are predicted.

Laws of this file: rows without a duration, and those whose status says that they did not succeed, are no tasks to
predict and are dropped and counted; the order is that of the moment of prediction, ties and rows without times stay
where the file has them; nothing is known of a task but what its row says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from nexus_sched.errors import InvalidInput
from nexus_sched.model.task import PRIORITY_DEFAULT, Task
from nexus_sched.traces import TraceRow, read_trace
from nexus_sched.units import MS_PER_S

Moment = Literal["submit", "start"]

PARTS = 1_000  # sizes with a fraction are counted in thousandths of the trace's unit: a task's size is whole


class TraceTasks(Struct, frozen=True, gc=False):
    """All tasks of a trace, one column for each thing that is known. Index = order of prediction."""

    path: Path
    tasks: list[Task]
    workers: list[str | None]  # who ran it, if the trace knows
    classes: list[str]  # of that worker, "" if unknown
    run_ms: list[float]
    learned_at_ms: list[int]  # what the clock shows when the result is known
    lines: list[int]  # in the file
    moments_s: list[float | None]  # of the prediction, on the trace's clock
    ends_s: list[float | None]
    dropped: int  # rows without a duration, or not successful

    def __len__(self) -> int:
        return len(self.tasks)


def read_tasks(path: Path, at: Moment = "submit", payload_column: str = "payload_size") -> TraceTasks:
    """The tasks of a trace, predicted when they are submitted or when they start.

    Where a row has only one of the two times, it serves for both. Raises `InvalidInput` if the file cannot be read
    or holds no task.
    """
    rows, dropped = [], 0
    for row in read_trace(path, payload_column):
        if row.succeeded:
            rows.append(row)
        else:
            dropped += 1
    if not rows:
        raise InvalidInput(f"{path}: no row has a duration above zero")
    rows = _in_order(rows, at)
    moments_s = [_moment_s(row, at) for row in rows]
    parts = PARTS if any(row.payload_size is not None and row.payload_size % 1.0 for row in rows) else 1
    return TraceTasks(
        path=path,
        tasks=[_task(row, parts) for row in rows],
        workers=[row.worker or None for row in rows],
        classes=[row.worker_class for row in rows],
        run_ms=[row.duration_s * MS_PER_S for row in rows],
        learned_at_ms=[_whole_ms(row.end_s, moment_s) for row, moment_s in zip(rows, moments_s, strict=True)],
        lines=[row.line for row in rows],
        moments_s=moments_s,
        ends_s=[row.end_s for row in rows],
        dropped=dropped,
    )


def _moment_s(row: TraceRow, at: Moment) -> float | None:
    times = (row.start_s, row.submit_s) if at == "start" else (row.submit_s, row.start_s)
    return times[0] if times[0] is not None else times[1]


def _in_order(rows: Iterable[TraceRow], at: Moment) -> list[TraceRow]:
    """By moment of prediction; a row without one goes with the row before it."""
    keyed: list[tuple[float, TraceRow]] = []
    latest_s = -math.inf
    for row in rows:
        moment_s = _moment_s(row, at)
        latest_s = latest_s if moment_s is None else moment_s
        keyed.append((latest_s, row))
    keyed.sort(key=lambda entry: entry[0])
    return [row for _, row in keyed]


def _task(row: TraceRow, parts: int) -> Task:
    size = 0 if row.payload_size is None else round(row.payload_size * parts)
    return Task(str(row.line), row.task_type, PRIORITY_DEFAULT, size, _whole_ms(row.submit_s, row.start_s))


def _whole_ms(*times_s: float | None) -> int:
    """The first of these that is known, in milliseconds; 0 if none is."""
    return next((int(time_s * MS_PER_S) for time_s in times_s if time_s is not None), 0)
