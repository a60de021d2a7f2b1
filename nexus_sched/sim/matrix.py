"""Measured matrices: how long the same task instance took on each class of workers, so every placement has an answer.

The file: a CSV (or its gzip) with one row for each instance and class, and the columns `instance`, `task_type`,
`payload_size`, `worker_class` and `duration_s`. Every instance must have been measured once on every class of the file,
always with the same type and payload.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nexus_sched.errors import InvalidInput
from nexus_sched.sim.arrivals import poisson_ms, random_stream
from nexus_sched.sim.task_types import PREDICTABLE_SIGMA_MAX
from nexus_sched.sim.workload import FleetWorker, Truth, Workload, capacity_per_ms, make_tasks
from nexus_sched.traces import TraceRow, read_trace
from nexus_sched.units import MS_PER_S

PARTS = 1_000  # sizes with a fraction are counted in thousandths of the file's unit: a task's size is whole


class Matrix(Struct, frozen=True):
    """Instances in the order of the file; durations in milliseconds, instances x classes."""

    name: str
    classes: list[str]
    types: list[str]
    type_of: NDArray[np.int64]  # of each instance
    payload_bytes: NDArray[np.int64]  # of each instance
    durations_ms: NDArray[np.float64]


class _Instance(Struct):
    """What the file says of one instance so far."""

    first: TraceRow
    durations_s: dict[str, float]


def read_matrix(path: Path) -> Matrix:
    """The matrix in `path`. Raises `InvalidInput` with file and line."""
    instances: dict[str, _Instance] = {}
    classes: dict[str, int] = {}  # class -> line where it is named first
    for row in read_trace(path):
        _add(path, row, instances)
        classes.setdefault(row.worker_class, row.line)
    if not instances:
        raise InvalidInput(f"{path}: there is no row below the header")
    for name, found in instances.items():
        missing = [each for each in classes if each not in found.durations_s]
        if missing:
            raise InvalidInput(
                f"{path}:{found.first.line}: instance {name!r} has no duration on {', '.join(missing)} "
                f"(named first in line {classes[missing[0]]}); every instance needs one on every class"
            )
    firsts = [found.first for found in instances.values()]
    types = list(dict.fromkeys(row.task_type for row in firsts))
    sizes = np.array([row.payload_size or 0.0 for row in firsts])
    parts = PARTS if np.any(sizes % 1.0) else 1
    return Matrix(
        name=path.name,
        classes=list(classes),
        types=types,
        type_of=np.array([types.index(row.task_type) for row in firsts]),
        payload_bytes=np.rint(sizes * parts).astype(np.int64),
        durations_ms=MS_PER_S * np.array([[each.durations_s[name] for name in classes] for each in instances.values()]),
    )


def _add(path: Path, row: TraceRow, instances: dict[str, _Instance]) -> None:
    if not row.instance or not row.worker_class:
        missing = "instance" if not row.instance else "worker_class"
        raise InvalidInput(f"{path}:{row.line}: {missing} is empty, or the file has no such column")
    if row.duration_s <= 0.0:
        raise InvalidInput(f"{path}:{row.line}: duration_s must be above zero")
    known = instances.setdefault(row.instance, _Instance(row, {}))
    if (row.task_type, row.payload_size) != (known.first.task_type, known.first.payload_size):
        raise InvalidInput(
            f"{path}:{row.line}: instance {row.instance!r} has another type or payload than in line {known.first.line}"
        )
    if row.worker_class in known.durations_s:
        raise InvalidInput(f"{path}:{row.line}: instance {row.instance!r} is on {row.worker_class!r} a second time")
    known.durations_s[row.worker_class] = row.duration_s


def matrix_workload(
    matrix: Matrix, *, workers_per_class: int, tasks: int, load: float, rtt_ms: float, seed: int
) -> Workload:
    """Instances drawn with replacement, on one-slot workers of each class.

    Poisson arrivals at `load` times the sum over workers of 1 / mean duration on their class.
    """
    names = [
        (column, name, number) for column, name in enumerate(matrix.classes) for number in range(workers_per_class)
    ]
    workers = [FleetWorker(f"{name}#{number}", 1, name, column) for column, name, number in names]
    ones = np.ones(len(matrix.type_of))
    rate = load * capacity_per_ms(matrix.durations_ms, np.arange(len(ones)), ones, workers)
    rows = random_stream(seed, "instances").integers(len(ones), size=tasks)
    arrivals = poisson_ms(tasks, rate, random_stream(seed, "arrivals")).tolist()
    type_of = matrix.type_of[rows].tolist()
    return Workload(
        scenario=matrix.name,
        tasks=make_tasks(matrix.types, type_of, matrix.payload_bytes[rows].tolist(), arrivals),
        arrivals_ms=arrivals,
        types=matrix.types,
        type_of=type_of,
        predictable=[_sigma(matrix, kind) <= PREDICTABLE_SIGMA_MAX for kind in range(len(matrix.types))],
        workers=workers,
        truth=Truth(matrix.durations_ms, rows, np.ones(tasks), workers),
        rtt_ms=rtt_ms,
    )


def _sigma(matrix: Matrix, kind: int) -> float:
    """Spread of ln duration of a type within a class, whatever its payload; mean over classes."""
    return float(np.log(matrix.durations_ms[matrix.type_of == kind]).std(axis=0).mean())
