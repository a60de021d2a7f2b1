"""The engine's whole state as one blob, and back. Restoring gives an engine that decides alike to the bit.

Writing down happens between two turns, at once. Coming back goes in parts (`core.slices`): the engine is nobody's yet,
and others share the processor with it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from nexus_sched._kernel.pace import DOUBT_AT_FIRST
from nexus_sched.core.backlog.backlog import BacklogState
from nexus_sched.core.ejection import EjectionState
from nexus_sched.core.engine import Engine
from nexus_sched.core.eta import EtaState
from nexus_sched.core.forecasts import ForecastState
from nexus_sched.core.pace import PaceDrift, SlowedPace
from nexus_sched.core.pauses import Pause
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.records import Cordon, TaskRecord, WorkerRecord
from nexus_sched.core.requests import Usage
from nexus_sched.core.slices import at_once, parts
from nexus_sched.core.state import COUNTERS
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.events import OverrideAdded
from nexus_sched.model.settings import EngineSettings

FORMAT = 2


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
    broken: bool = False
    trial: int = 0
    ramp: int = 0
    ramp_from_ms: int = 0
    runs: int = 0
    runs_before: int = 0
    bucket_until_ms: int = 0
    drift: PaceDrift | None = None
    slowed: SlowedPace | None = None
    pace: float = 1.0
    pace_samples: int = 0
    labels: dict[str, str] = {}
    taints: tuple[str, ...] = ()
    resources: dict[str, float] = {}
    used: dict[str, float] = {}
    load_at_ms: int = 0
    doubt: float = DOUBT_AT_FIRST
    silence_ms: int = 0


Record = TypeVar("Record")


class AnySnapshot(Struct, Generic[Record], array_like=True):
    """Everything. `table` is a blob of its owner."""

    format: int
    seq: int
    epoch: int
    now_ms: int
    settings: EngineSettings
    mode: str
    tasks: list[Record]
    workers: list[WorkerSnapshot]
    backlog: BacklogState
    retracts: list[tuple[str, int]]
    more: bool
    forecasts: ForecastState
    rotation: int
    positions: tuple[int, int]
    counters: dict[str, int]
    table: bytes
    ejection: EjectionState = EjectionState()
    cordons: dict[str, Cordon] = {}
    reaction: tuple[list[str], int, bool, int] = ([], 0, False, 0)
    etas: EtaState | None = None
    copies: list[TaskRecord] = []
    requests: dict[str, Usage] = {}
    affinity: list[tuple[str, list[tuple[str, int]]]] = []
    reservations: list[tuple[str, str]] = []
    typical: float = 1.0
    pauses: dict[str, Pause] = {}
    wishes: dict[str, str] = {}
    transit_ms: float = 0.0
    suspects: list[tuple[str, list[str]]] = []
    overrides: list[OverrideAdded] = []
    born: str = ""
    pace_told_ms: int = 0
    departed: dict[str, int] = {}


EngineSnapshot = AnySnapshot[TaskRecord]
StoredSnapshot = AnySnapshot[Raw]  # read, but for the tasks: each is decoded when its turn comes

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StoredSnapshot)
_decode_tasks = msgspec.msgpack.Decoder(list[TaskRecord]).decode


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
        engine.ejection.snapshot(),
        engine.cordons,
        (list(engine.late), engine.next_look_ms, engine.look_wanted, engine.straggler_told_ms),
        engine.etas.snapshot(),
        list(engine.copies.values()),
        engine.requests.usages,
        placement.scoring.affinity.snapshot(),
        engine.reservations.snapshot(),
        engine.roster.paces.typical,
        engine.pauses,
        engine.wishes,
        engine.overdue.transit_ms,
        engine.suspects.snapshot(),
        engine.overrides.snapshot(),
        engine.born,
        engine.pace_told_ms,
        engine.departed,
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
    return at_once(revival(state, predictors))


def revival(state: StoredSnapshot, predictors: Mapping[str, PredictorFactory]) -> Generator[None, None, Engine]:
    """An engine exactly like the one `capture` saw, in parts. Raises `SnapshotUnreadable`."""
    if state.format != FORMAT:
        raise SnapshotUnreadable(f"snapshot has format {state.format}, this version reads {FORMAT}")
    engine = Engine(predictors, state.settings)
    engine.seq, engine.epoch, engine.now_ms, engine.more = state.seq, state.epoch, state.now_ms, state.more
    engine.born, engine.pace_told_ms = state.born, state.pace_told_ms
    engine.retracts.extend(state.retracts)
    engine.counters = {name: state.counters.get(name, 0) for name in COUNTERS}
    placed: list[TaskRecord] = []
    refused: list[TaskRecord] = []
    for stored in parts(state.tasks):
        for record in _records(stored):
            engine.tasks[record.task.id] = record
            if record.booking is not None:
                placed.append(record)
            if record.history is not None:
                refused.append(record)
        yield
    engine.requests.usages = state.requests
    engine.copies = {record.task.id: record for record in state.copies}
    placement = engine.placement
    placement.set_mode(state.mode)
    placement.rotation = state.rotation
    placement.scoring.affinity.restore(state.affinity)
    engine.forecasts.restore(state.forecasts)
    placement.round_robin.position, placement.least_outstanding.position = state.positions
    engine.roster.table.restore(state.table)
    engine.roster.begin_turn(engine.now_ms)
    engine.roster.paces.typical = state.typical
    try:
        yield from engine.roster.restore(
            _worker_record(worker, engine, cordoned=worker.name in state.cordons) for worker in state.workers
        )
    except KeyError as error:
        raise SnapshotUnreadable(f"snapshot names a task it does not hold: {error}") from error
    yield from engine.backlog.restore(state.backlog, engine.tasks)
    engine.reservations.restore(state.reservations)
    for part in parts(refused):
        engine.reservations.watch(part, state.now_ms)
        yield
    for part in parts(placed):
        engine.overdue.restore(part)
        yield
    engine.overdue.transit_ms = state.transit_ms
    engine.ejection.restore(state.ejection)
    engine.suspects.restore(state.suspects)
    engine.forgiving.restore(engine.roster.ring)
    engine.cordons = dict(state.cordons)
    engine.departed = dict(state.departed)
    engine.pauses, engine.wishes = dict(state.pauses), dict(state.wishes)
    engine.overrides.restore(state.overrides)
    late, engine.next_look_ms, engine.look_wanted, engine.straggler_told_ms = state.reaction
    engine.late = dict.fromkeys(late)
    if state.etas is not None:
        yield from engine.etas.restore(state.etas)
    engine.revive(placed)
    return engine


def _records(stored: list[Raw]) -> list[TaskRecord]:
    """Decoded together, which takes less than one by one."""
    try:
        return _decode_tasks(b"\xdd" + len(stored).to_bytes(4, "big") + b"".join(stored))  # an array of so many
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotUnreadable(f"tasks of the snapshot cannot be read: {error}") from error


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
        worker.broken,
        worker.trial,
        worker.ramp,
        worker.ramp_from_ms,
        worker.runs,
        worker.runs_before,
        worker.bucket_until_ms,
        worker.drift,
        worker.slowed,
        worker.pace,
        worker.pace_samples,
        worker.labels,
        worker.taints,
        worker.resources,
        worker.used,
        worker.load_at_ms,
        worker.doubt,
        worker.silence_ms,
    )


_SAME_FIELDS = (
    *("credit", "draining", "suspect", "heard_at_ms", "factor", "samples"),
    *("pace", "pace_samples", "labels", "taints", "resources", "used", "load_at_ms", "doubt", "silence_ms"),
    *("broken", "trial", "ramp", "ramp_from_ms", "runs", "runs_before", "bucket_until_ms", "drift", "slowed"),
)


def _worker_record(state: WorkerSnapshot, engine: Engine, *, cordoned: bool) -> WorkerRecord:
    worker = WorkerRecord(state.name, state.row, state.slots, state.worker_class, state.incarnation)
    for field in _SAME_FIELDS:
        setattr(worker, field, getattr(state, field))
    worker.cordoned = cordoned
    worker.accepting = not (worker.draining or worker.suspect or worker.cordoned or worker.broken)
    inbox, copies = f"i:{state.name}", engine.copies
    worker.placed = {
        task_id: copies[task_id] if task_id in copies and copies[task_id].place == inbox else engine.tasks[task_id]
        for task_id in state.placed
    }
    worker.in_flight = len(worker.placed)
    return worker
