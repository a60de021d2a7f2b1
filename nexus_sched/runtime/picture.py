"""Paints the frame: the picture of the state for everyone who only looks."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.worker_answer import row_of
from nexus_sched.model.frame import FRAME_WORKERS_MAX, Frame
from nexus_sched.runtime.ports import Lease
from nexus_sched.runtime.turn import TurnLoop
from nexus_sched.units import MS_PER_S

FACTOR_MIN = 0.01  # a worker a hundred times as fast as its class would be a measuring mistake
DRAIN_TASKS_S_MAX = 10_000.0  # what one shard hands out on one core of a server, however short the tasks are


def paint(pool: str, shard: int, lease: Lease, loop: TurnLoop, now_ms: int) -> Frame:
    """The frame of this instant. O(workers), at most `FRAME_WORKERS_MAX` of them in detail."""
    engine = loop.engine
    placement, ring = engine.placement, engine.roster.ring
    counters = engine.counters
    predictions = counters["predictions"]
    breaker = engine.forecasts.breaker.state(now_ms).value
    loop.tally.breaker(breaker)
    return Frame(
        drain_tasks_s=predict_drain(engine.backlog.predicted_ms, len(engine.backlog), ring),
        pool=pool,
        shard=shard,
        owner=lease.owner,
        epoch=lease.epoch,
        seq=engine.seq,
        at_ms=now_ms,
        mode=placement.mode,
        predictor=engine.forecasts.active.name,
        breaker=breaker,
        tallies=loop.tally.tallies(engine.seq - max(loop.seq_written, loop.seq_began)),
        queued=len(engine.backlog),
        in_flight=len(engine.tasks) - len(engine.backlog),
        queued_predicted_ms=engine.backlog.predicted_ms,
        workers_live=len(ring),
        workers_accepting=sum(worker.accepting for worker in ring),
        counters=dict(counters),
        decision_us=loop.decision_ns.spread(1e-3),
        turn_us=loop.turn_ns.spread(1e-3),
        predictions=predictions,
        predictions_within_25=counters["predictions_within"] / predictions if predictions else None,
        workers=[row_of(engine, worker, now_ms) for worker in ring[:FRAME_WORKERS_MAX]],
        shadow="" if engine.forecasts.shadow is None else engine.forecasts.shadow.name,
        scores={name: (score.predictions, score.within) for name, score in engine.forecasts.scores.items()},
        cells="".join([_cell(worker) for worker in ring]),
        paused={task_type: pause.reason for task_type, pause in engine.pauses.items()},
        overrides=[each for each in engine.overrides.snapshot() if each.until_ms > now_ms],
        pins=[pin for pin in engine.forecasts.pins.values() if pin.until_ms > now_ms],
    )


def predict_drain(predicted_ms: float, queued: int, ring: Iterable[WorkerRecord]) -> float:
    """Tasks a second that will leave a queue with so much predicted work; 0 if nothing is predicted.

    All slots of workers that take tasks are taken to be busy with what waits, each at the speed that was learned.
    """
    if queued == 0 or predicted_ms <= 0.0:
        return 0.0
    slots = sum(worker.slots / max(worker.factor, FACTOR_MIN) for worker in ring if worker.accepting)
    return min(DRAIN_TASKS_S_MAX, slots * MS_PER_S * queued / predicted_ms)


def _cell(worker: WorkerRecord) -> str:
    """How a worker stands and how many tenths of its slots are in use, in two characters."""
    if worker.accepting:
        standing = "a"
    else:
        standing = "d" if worker.draining else "c" if worker.cordoned else "s" if worker.suspect else "b"
    tenths = 10 * worker.in_flight // worker.slots
    return standing + ("9" if tenths == 10 else "+" if tenths > 10 else str(tenths))
