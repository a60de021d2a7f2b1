"""A finished run as training material."""

from __future__ import annotations

from math import ceil

from msgspec import Struct

from nexus_sched.core.predictors.base import CompletedRun


class TrainingRun(Struct, frozen=True, array_like=True, gc=False):
    """One successful run. Instants are milliseconds of any one clock."""

    task_type: str
    payload_bytes: float
    worker: str
    worker_class: str
    run_ms: float
    predicted_at_ms: int  # what had ended by then could be known
    ended_at_ms: int


def run_of(run: CompletedRun, *, at: str = "start") -> TrainingRun:
    """A completed run as a predictor is told of it, predicted when it started or when it was submitted.

    A scheduler predicts again when it hands a task out, so what counts there is the start.
    """
    task = run.task
    started_at_ms = run.at_ms - ceil(run.run_ms) if at == "start" else task.arrived_at_ms
    return TrainingRun(
        task.type,
        float(task.payload_bytes),
        run.worker,
        run.worker_class,
        run.run_ms,
        max(task.arrived_at_ms, started_at_ms),
        run.at_ms,
    )
