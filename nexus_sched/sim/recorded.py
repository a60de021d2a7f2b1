"""A recorded trace as a workload: arrivals, types, payloads and classes are those of the file.

What is assumed, because a trace has each task's duration on one worker only:

* on a worker of another class the task takes as much longer as tasks of its type do there: the ratio of the median
  durations of the type on the two classes, where the file has at least `CELL_ROWS_MIN` rows of both, else the same;
* workers of one class are alike, and the fleet has each class in the proportion in which the file has workers of it;
* recorded times are stretched or shrunk as a whole until the load is the wished one; without times arrivals are
  Poisson.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nexus_sched.errors import InvalidInput
from nexus_sched.sim.arrivals import poisson_ms, random_stream, stretched_ms
from nexus_sched.sim.matrix import PARTS
from nexus_sched.sim.task_types import PREDICTABLE_SIGMA_MAX
from nexus_sched.sim.workload import FleetWorker, Truth, Workload, capacity_per_ms, make_tasks
from nexus_sched.traces import TraceRow, read_trace
from nexus_sched.units import MS_PER_S

CELL_ROWS_MIN = 3  # rows of a type on a class before their median says anything


class Recording(Struct, frozen=True):
    """What a trace says: columns with one element a task, in the order of submission."""

    name: str
    types: list[str]
    classes: list[str]
    class_sizes: list[int]  # workers of each class in the file, or rows if it names no workers
    type_of: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]
    times_s: NDArray[np.float64] | None  # of submission, `None` if some are unknown
    scales_ms: NDArray[np.float64]  # length of each task, with what its class makes of it taken out
    factors: NDArray[np.float64]  # types x classes


def read_recording(path: Path, tasks: int) -> Recording:
    """The first `tasks` runs of a trace that succeeded. Raises `InvalidInput` with file and line."""
    rows: list[TraceRow] = []
    for row in read_trace(path):
        if row.succeeded:
            rows.append(row)
            if len(rows) == tasks:
                break
    if not rows:
        raise InvalidInput(f"{path}: no row that succeeded has a duration above zero")
    times = [row.submit_s if row.submit_s is not None else row.start_s for row in rows]
    known = [time_s for time_s in times if time_s is not None]
    types = list(dict.fromkeys(row.task_type for row in rows))
    classes = list(dict.fromkeys(row.worker_class for row in rows))
    type_of = _places([row.task_type for row in rows], types)
    class_of = _places([row.worker_class for row in rows], classes)
    durations_ms = MS_PER_S * np.array([row.duration_s for row in rows])
    factors = _factors(durations_ms, type_of, class_of, (len(types), len(classes)))
    machines = {(row.worker, row.worker_class) if row.worker else (row.line, row.worker_class) for row in rows}
    counts = Counter(name for _, name in machines)
    sizes = np.array([row.payload_size or 0.0 for row in rows])
    return Recording(
        name=path.name,
        types=types,
        classes=classes,
        class_sizes=[counts[name] for name in classes],
        type_of=type_of,
        payload_bytes=np.rint(sizes * (PARTS if np.any(sizes % 1.0) else 1)).astype(np.int64),
        times_s=np.maximum.accumulate(np.array(known)) if len(known) == len(rows) else None,
        scales_ms=durations_ms / factors[type_of, class_of],
        factors=factors,
    )


def recorded_workload(
    recording: Recording, *, workers: int, slots: int, load: float, rtt_ms: float, seed: int
) -> Workload:
    """The trace on a fleet of `workers`, brought to a load."""
    fleet = _fleet(recording, workers, slots)
    count = len(recording.type_of)
    rate = load * capacity_per_ms(recording.factors, recording.type_of, recording.scales_ms, fleet)
    arrivals = None if recording.times_s is None else stretched_ms(recording.times_s, rate)
    if arrivals is None:
        arrivals = poisson_ms(count, rate, random_stream(seed, "arrivals"))
    type_of, at_ms = recording.type_of.tolist(), arrivals.tolist()
    return Workload(
        scenario=recording.name,
        tasks=make_tasks(recording.types, type_of, recording.payload_bytes.tolist(), at_ms),
        arrivals_ms=at_ms,
        types=recording.types,
        type_of=type_of,
        predictable=[_sigma(recording, kind) <= PREDICTABLE_SIGMA_MAX for kind in range(len(recording.types))],
        workers=fleet,
        truth=Truth(recording.factors, recording.type_of, recording.scales_ms, fleet),
        rtt_ms=rtt_ms,
    )


def _places(names: list[str], known: list[str]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(known)}
    return np.array([places[name] for name in names])


def _factors(
    durations_ms: NDArray[np.float64], type_of: NDArray[np.int64], class_of: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Types x classes: median on the class over the geometric mean of the type's medians; 1 where it is not known."""
    factors = np.ones(shape)
    for kind in range(shape[0]):
        of_kind = type_of == kind
        medians = np.full(shape[1], np.nan)
        for column in np.unique(class_of[of_kind]):
            cell = durations_ms[of_kind & (class_of == column)]
            if len(cell) >= CELL_ROWS_MIN:
                medians[column] = np.median(cell)
        known = ~np.isnan(medians)
        if known.any():
            factors[kind, known] = medians[known] / np.exp(np.log(medians[known]).mean())
    return factors


def _fleet(recording: Recording, workers: int, slots: int) -> list[FleetWorker]:
    """Workers of each class by the largest remainder."""
    shares = np.array(recording.class_sizes) * workers / sum(recording.class_sizes)
    counts = np.floor(shares).astype(int)
    for column in np.argsort(counts - shares, kind="stable")[: workers - int(counts.sum())]:
        counts[column] += 1
    return [
        FleetWorker(f"{recording.classes[column] or 'worker'}#{number}", slots, recording.classes[column], column)
        for column, count in enumerate(counts.tolist())
        for number in range(count)
    ]


def _sigma(recording: Recording, kind: int) -> float:
    """Spread of ln duration of a type once its class is known, whatever its payload."""
    return float(np.log(recording.scales_ms[recording.type_of == kind]).std())
