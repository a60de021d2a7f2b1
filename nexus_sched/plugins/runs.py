"""A finished run as training material."""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.core.predictors.base import CompletedRun


class TrainingRun(Struct, frozen=True, array_like=True, gc=False):
    """One successful run. Instants are milliseconds of any one clock."""

    task_type: str
    payload_bytes: float
    worker: str
    worker_class: str
    run_ms: float
    arrived_at_ms: int
    ended_at_ms: int


def run_of(run: CompletedRun) -> TrainingRun:
    """A completed run as a predictor is told of it."""
    task = run.task
    return TrainingRun(
        task.type,
        float(task.payload_bytes),
        run.worker,
        run.worker_class,
        run.run_ms,
        task.arrived_at_ms,
        run.at_ms,
    )
