"""What a model is shown of a task: the columns, and the codes of names.

Law: a row is a function of the task, the worker and what had ended when it was predicted. Training replays the runs
in time order, so that no row knows a result that was not there yet.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import Struct

from nexus_sched._kernel.history_table import log2
from nexus_sched.plugins.recent import Recent, RecentTimes, log2_of_ms
from nexus_sched.plugins.runs import TrainingRun

COLUMNS = ("type", "class", "worker", "payload", "recent_level", "recent_class", "recent_worker")
CATEGORICAL = (0, 1, 2)
TYPES_MAX = 1_024
CLASSES_MAX = 256
WORKERS_MAX = 512
WORKER_RUNS_MIN = 20  # a worker seen less often tells nothing by its name
UNKNOWN = np.nan  # a code for every name that has none

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


class Schema(Struct, frozen=True):
    """The names that have a code: their places in these lists."""

    columns: list[str]
    types: list[str]
    classes: list[str]
    workers: list[str]


def schema_of(runs: Sequence[TrainingRun]) -> Schema:
    """Codes for the commonest names, in an order that depends on the runs only."""
    return Schema(
        list(COLUMNS),
        _commonest((run.task_type for run in runs), TYPES_MAX, 1),
        _commonest((run.worker_class for run in runs if run.worker_class), CLASSES_MAX, 1),
        _commonest((run.worker for run in runs if run.worker), WORKERS_MAX, WORKER_RUNS_MIN),
    )


def _commonest(names: Iterable[str], most: int, least: int) -> list[str]:
    ranked = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return [name for name, count in ranked[:most] if count >= least]


class Encoder:
    """Turns a task into a row of numbers."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._types = {name: float(code) for code, name in enumerate(schema.types)}
        self._classes = {name: float(code) for code, name in enumerate(schema.classes)}
        self._workers = {name: float(code) for code, name in enumerate(schema.workers)}

    def knows(self, task_type: str) -> bool:
        """Whether the model has seen this type."""
        return task_type in self._types

    def fill(
        self, row: Vector, task_type: str, payload_bytes: float, worker_class: str, worker: str, recent: Recent
    ) -> None:
        """Write the columns of one task into `row`."""
        row[0] = self._types.get(task_type, UNKNOWN)
        row[1] = self._classes.get(worker_class, UNKNOWN)
        row[2] = self._workers.get(worker, UNKNOWN)
        row[3] = log2(1.0 + payload_bytes)
        row[4] = recent.level
        row[5] = recent.class_adds
        row[6] = recent.worker_adds


class Table(Struct):
    """Training material: one row a run, in the order of prediction. Logarithms of milliseconds."""

    rows: Matrix
    recent: Vector  # what would be said without a model
    actual: Vector
    types: list[str]
    recents: RecentTimes  # as they stand after the last run


def tabulate(runs: Sequence[TrainingRun], schema: Schema, told: Callable[[int], None] = lambda _: None) -> Table:
    """Every run as it looked when its task was predicted: runs that ended later taught nothing yet.

    The first run of a type has no row.
    """
    encoder, recents = Encoder(schema), RecentTimes()
    rows, recent_sums, actual = np.empty((len(runs), len(COLUMNS))), np.empty(len(runs)), np.empty(len(runs))
    types: list[str] = []
    ends: list[tuple[int, int]] = []
    runs = sorted(runs, key=lambda run: (run.predicted_at_ms, run.ended_at_ms))
    for place, run in enumerate(runs):
        while ends and ends[0][0] <= run.predicted_at_ms:
            _learn(recents, runs[heapq.heappop(ends)[1]])
        known = recents.of(run.task_type, run.worker_class, run.worker)
        if known is not None:
            count = len(types)
            encoder.fill(rows[count], run.task_type, run.payload_bytes, run.worker_class, run.worker, known)
            recent_sums[count], actual[count] = known.sum, log2_of_ms(run.run_ms)
            types.append(run.task_type)
        heapq.heappush(ends, (run.ended_at_ms, place))
        told(place + 1)
    while ends:
        _learn(recents, runs[heapq.heappop(ends)[1]])
    count = len(types)
    return Table(rows[:count], recent_sums[:count], actual[:count], types, recents)


def _learn(recents: RecentTimes, run: TrainingRun) -> None:
    recents.learn(run.task_type, run.worker_class, run.worker, log2_of_ms(run.run_ms))
