"""How fast each worker was, from its runs: what a run would have taken on another worker.

Least squares of ln run time over task types and workers at once, so that a worker that was given other types than the
rest is not taken for a slow one; then again with each type weighted by how little its runs vary, so that the wild ones
do not drown the rest. A worker of few runs is as fast as its class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RUNS_MIN = 3  # of a worker, before they say anything
ROUNDS = 50  # of solving for types and for workers in turn: where every worker ran most types, ten are enough
SIGMA_MIN = 0.05  # of ln run time: no type is weighted as if it were more exact

Column = NDArray[np.float64]
Index = NDArray[np.int64]


def paces(runs: Sequence[tuple[str, int, float]], classes: Sequence[str]) -> list[float]:
    """Run time on each worker relative to the mean one, geometrically; `runs` are `(type, worker, ms)`.

    `classes` are those of the workers, by index.
    """
    counts = np.bincount([worker for _, worker, _ in runs], minlength=len(classes))
    known = counts >= RUNS_MIN
    if not known.any():
        return [1.0] * len(classes)
    kinds = {name: place for place, name in enumerate(dict.fromkeys(kind for kind, _, _ in runs))}
    kind_of = np.array([kinds[kind] for kind, _, _ in runs])
    worker_of = np.array([worker for _, worker, _ in runs])
    logs = np.log([run_ms for _, _, run_ms in runs])
    even = np.ones(len(runs))
    speed, rest = _solved(logs, kind_of, worker_of, even, len(classes))
    variance = np.bincount(kind_of, rest**2) / np.bincount(kind_of)
    speed, _ = _solved(logs, kind_of, worker_of, 1.0 / np.maximum(variance, SIGMA_MIN**2)[kind_of], len(classes))
    middle = float(speed[known].mean())
    for worker in np.flatnonzero(~known).tolist():
        alike = [speed[other] for other in np.flatnonzero(known).tolist() if classes[other] == classes[worker]]
        speed[worker] = np.mean(alike) if alike else middle
    found: list[float] = np.exp(speed - middle).tolist()
    return found


def _solved(logs: Column, kind_of: Index, worker_of: Index, weights: Column, workers: int) -> tuple[Column, Column]:
    """Logarithms of the workers' paces, and what is left of each run."""
    speed = np.zeros(workers)
    by_kind = np.bincount(kind_of, weights)
    by_worker = np.maximum(np.bincount(worker_of, weights, minlength=workers), np.finfo(float).tiny)
    for _ in range(ROUNDS):
        level = np.bincount(kind_of, weights * (logs - speed[worker_of])) / by_kind
        speed = np.bincount(worker_of, weights * (logs - level[kind_of]), minlength=workers) / by_worker
    return speed, logs - level[kind_of] - speed[worker_of]
