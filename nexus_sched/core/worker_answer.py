"""What is said of a worker to people who ask: where it stands and why, what it holds, when it will be free."""

from __future__ import annotations

from heapq import nsmallest
from itertools import islice
from operator import attrgetter

from nexus_sched.core.freeing import free_in, left_ms
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.core.state import EngineState
from nexus_sched.model.answer import (
    TASKS_SHOWN_MAX,
    Answer,
    BreakerStory,
    HeldTask,
    Unanswered,
    WorkerAnswer,
    WorkersAnswer,
)
from nexus_sched.model.worker import WorkerStanding, WorkerState


def about_worker(state: EngineState, name: str) -> Answer:
    """Everything about the worker of this name, at the end of the current turn."""
    worker = state.roster.by_name.get(name)
    if worker is None:
        return Unanswered(name, f"no worker {name!r} is registered")
    now_ms = state.now_ms
    cordon = state.cordons.get(name)
    return WorkerAnswer(
        worker=name,
        at_ms=now_ms,
        standing=standing_of(worker, drained=cordon is not None and cordon.drain),
        standing_reason="" if cordon is None else cordon.reason,
        worker_class=worker.worker_class,
        slots=worker.slots,
        credit=worker.credit,
        in_flight=worker.in_flight,
        factor=worker.factor,
        factor_runs=worker.samples,
        booked_ms=state.roster.table.booked_ms(worker.row),
        free_in_ms=free_in(worker, now_ms),
        breaker=BreakerStory("closed") if worker.breaker is None else worker.breaker.story(now_ms),
        tasks=tuple(
            _held(record, now_ms, running=index < worker.slots)
            for index, record in enumerate(islice(worker.placed.values(), TASKS_SHOWN_MAX))
        ),
    )


def about_workers(state: EngineState, after: str, count: int) -> Answer:
    """Up to `count` workers behind the name `after`, in the order of their names."""
    ring = state.roster.ring
    behind = [worker for worker in ring if worker.name > after]
    found = nsmallest(count, behind, key=attrgetter("name"))
    rows = tuple(row_of(state, worker, state.now_ms) for worker in found)
    return WorkersAnswer(rows, len(ring), len(behind) > len(rows))


def row_of(state: EngineState, worker: WorkerRecord, now_ms: int) -> WorkerState:
    """A worker in a list."""
    cordon = state.cordons.get(worker.name)
    return WorkerState(
        worker=worker.name,
        standing=standing_of(worker, drained=cordon is not None and cordon.drain),
        worker_class=worker.worker_class,
        slots=worker.slots,
        in_flight=worker.in_flight,
        booked_ms=state.roster.table.booked_ms(worker.row),
        incarnation=worker.incarnation,
        heard_age_ms=float(max(0, now_ms - worker.heard_at_ms)),
    )


def standing_of(worker: WorkerRecord, *, drained: bool) -> WorkerStanding:
    """Where a worker stands: what people decided comes before what was found out."""
    if worker.draining or drained:
        return WorkerStanding.DRAINING
    if worker.cordoned:
        return WorkerStanding.CORDONED
    if worker.suspect:
        return WorkerStanding.SUSPECT
    return WorkerStanding.BROKEN if worker.broken else WorkerStanding.ACCEPTING


def _held(record: TaskRecord, now_ms: int, *, running: bool) -> HeldTask:
    booking = record.booked
    prediction = booking.prediction
    left = left_ms(record, now_ms) if running else None
    p50_ms = None if prediction is None else prediction.p50_ms
    return HeldTask(
        task=record.task.id,
        type=record.task.type,
        attempt=record.attempt,
        running=running,
        elapsed_ms=float(max(0, now_ms - booking.placed_ms)) if running else 0.0,
        p50_ms=p50_ms,
        p95_ms=None if prediction is None else prediction.p95_ms,
        left_ms=left[0] if left is not None else p50_ms,
        overdue=booking.overdue,
    )
