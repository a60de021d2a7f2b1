"""Runs whose structure is known: what a type costs per byte, what a class adds, and noise."""

from __future__ import annotations

import random

from nexus_sched.core.predictors.base import CompletedRun, Predictor
from nexus_sched.model.task import Task
from nexus_sched.plugins.runs import TrainingRun

MS_PER_MIB = {"copy": 20.0, "encode": 400.0, "index": 90.0}
PACE = {"slow": 2.0, "fast": 0.7}


def runs(count: int, seed: int = 1) -> list[TrainingRun]:
    """Runs one after the other; size matters differently for each type, and 10 % noise on top."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        task_type = chance.choice(sorted(MS_PER_MIB))
        mib = 2.0 ** chance.uniform(-4.0, 4.0)
        worker_class = chance.choice(sorted(PACE))
        run_ms = (5.0 + MS_PER_MIB[task_type] * mib) * PACE[worker_class] * 2.0 ** chance.gauss(0.0, 0.12)
        worker = f"{worker_class}-{chance.randrange(4)}"
        found.append(
            TrainingRun(
                task_type, float(round(mib * 2**20)), worker, worker_class, run_ms, number * 10, number * 10 + 5
            )
        )
    return found


def completed(run: TrainingRun) -> CompletedRun:
    """The run as a predictor is told of it."""
    return CompletedRun(task_of(run), run.worker, run.worker_class, run.run_ms, run.ended_at_ms)


def task_of(run: TrainingRun) -> Task:
    """The task of a run."""
    return Task("t", run.task_type, 5, int(run.payload_bytes), run.predicted_at_ms)


def share_within_25(predictor: Predictor, some: list[TrainingRun]) -> float:
    """Predict, then learn; the share of runs whose prediction was within 25 %."""
    hits = 0
    for run in some:
        told = predictor.predict(task_of(run), run.worker, run.worker_class)
        hits += told is not None and abs(told.p50_ms - run.run_ms) <= 0.25 * run.run_ms
        predictor.learn(completed(run))
    return hits / len(some)
