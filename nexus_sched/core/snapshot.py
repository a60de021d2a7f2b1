"""The engine's whole state as one blob, and back. Restoring gives an engine that decides alike to the bit."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from nexus_sched.core.backlog.backlog import BacklogState
from nexus_sched.core.engine import Engine
from nexus_sched.core.forecasts import ForecastState
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.core.state import COUNTERS
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.settings import EngineSettings

FORMAT = 1


class WorkerSnapshot(Struct, array_like=True, gc=False):
    """A `WorkerRecord`, and the ids of the tasks in its inbox, oldest first."""

    name: str
    row: int
    slots: int
    credit: int
    worker_class: str
    incarnation: int
    draining: bool
    suspect: bool
    heard_at_ms: int
    factor: float
    samples: int
    placed: list[str]
    pace: float = 1.0
    pace_samples: int = 0


class EngineSnapshot(Struct, array_like=True):
    """Everything. `table` is a blob of its owner."""

    format: int
    seq: int
    epoch: int
    now_ms: int
    settings: EngineSettings
    mode: str
    tasks: list[TaskRecord]
    workers: list[WorkerSnapshot]
    backlog: BacklogState
    retracts: list[tuple[str, int]]
    more: bool
    forecasts: ForecastState
    rotation: int
    positions: tuple[int, int]
    counters: dict[str, int]
    table: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(EngineSnapshot)


def capture(engine: Engine) -> EngineSnapshot:
    """The state of `engine` between two turns. It shares the task records: encode it before the next turn."""
    placement = engine.placement
    return EngineSnapshot(
        FORMAT,
        engine.seq,
        engine.epoch,
        engine.now_ms,
        engine.settings,
        placement.mode,
        list(engine.tasks.values()),
        [_worker_snapshot(worker) for worker in engine.roster.ring],
        engine.backlog.snapshot(),
        list(engine.retracts),
        engine.ready,
        engine.forecasts.snapshot(),
        placement.rotation,
        (placement.round_robin.position, placement.least_outstanding.position),
        engine.counters,
        engine.roster.table.snapshot(),
    )


def take(engine: Engine) -> bytes:
    """The state of `engine` as one blob. About 0.3 us and 130 bytes per live task."""
    return _encoder.encode(capture(engine))


def restore(blob: bytes, predictors: Mapping[str, PredictorFactory]) -> Engine:
    """An engine exactly like the one `take` saw. Raises `SnapshotUnreadable`."""
    try:
        state = _decoder.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotUnreadable(f"snapshot cannot be read: {error}") from error
    return revive(state, predictors)


def revive(state: EngineSnapshot, predictors: Mapping[str, PredictorFactory]) -> Engine:
    """An engine exactly like the one `capture` saw; it takes the records over. Raises `SnapshotUnreadable`."""
    if state.format != FORMAT:
        raise SnapshotUnreadable(f"snapshot has format {state.format}, this version reads {FORMAT}")
    engine = Engine(predictors, state.settings)
    engine.seq, engine.epoch, engine.now_ms, engine.more = state.seq, state.epoch, state.now_ms, state.more
    engine.retracts.extend(state.retracts)
    engine.counters = {name: state.counters.get(name, 0) for name in COUNTERS}
    engine.tasks = {record.task.id: record for record in state.tasks}
    placement = engine.placement
    placement.set_mode(state.mode)
    placement.rotation = state.rotation
    engine.forecasts.restore(state.forecasts)
    placement.round_robin.position, placement.least_outstanding.position = state.positions
    engine.roster.table.restore(state.table)
    try:
        engine.roster.restore(_worker_record(worker, engine.tasks) for worker in state.workers)
    except KeyError as error:
        raise SnapshotUnreadable(f"snapshot names a task it does not hold: {error}") from error
    engine.backlog.restore(state.backlog, engine.tasks)
    engine.overdue.restore(engine.tasks.values())
    return engine


def _worker_snapshot(worker: WorkerRecord) -> WorkerSnapshot:
    return WorkerSnapshot(
        worker.name,
        worker.row,
        worker.slots,
        worker.credit,
        worker.worker_class,
        worker.incarnation,
        worker.draining,
        worker.suspect,
        worker.heard_at_ms,
        worker.factor,
        worker.samples,
        list(worker.placed),
        worker.pace,
        worker.pace_samples,
    )


def _worker_record(state: WorkerSnapshot, tasks: dict[str, TaskRecord]) -> WorkerRecord:
    worker = WorkerRecord(state.name, state.row, state.slots, state.worker_class, state.incarnation)
    for field in ("credit", "draining", "suspect", "heard_at_ms", "factor", "samples", "pace", "pace_samples"):
        setattr(worker, field, getattr(state, field))
    worker.accepting = not (worker.draining or worker.suspect)
    worker.placed = {task_id: tasks[task_id] for task_id in state.placed}
    worker.in_flight = len(worker.placed)
    return worker
