"""What a predictor said, made fit for use: bounded, of built-in types, scaled to a worker.

Predictors may be anybody's code; what is kept in records, journal and snapshots has passed `checked`.
"""

from __future__ import annotations

from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.task import DURATION_MS_MAX


def scaled(prediction: TaskPrediction, factor: float) -> TaskPrediction:
    """The same, all its times multiplied."""
    if factor == 1.0:
        return prediction
    return TaskPrediction(
        prediction.p50_ms * factor,
        prediction.mean_ms * factor,
        prediction.p80_ms * factor,
        prediction.p95_ms * factor,
        prediction.confidence,
        prediction.basis,
        prediction.samples,
        prediction.predictor,
        prediction.version,
        prediction.p10_ms * factor,
        prediction.p90_ms * factor,
    )


def checked(prediction: TaskPrediction | None) -> TaskPrediction | None:
    """The same, if it is usable: raises `ValueError` if a number is not finite or absurd.

    A predictor may compute with other number types than the built-in ones, which the journal cannot hold.
    """
    if prediction is None:
        return None
    # one comparison chain: False for NaN, infinite, negative and absurd values alike
    if not (0.0 <= prediction.mean_ms <= DURATION_MS_MAX and 0.0 <= prediction.p50_ms <= DURATION_MS_MAX):
        raise ValueError("a predicted time is not finite, negative or absurd")
    if _of_built_in_types(prediction):
        return prediction
    return TaskPrediction(
        float(prediction.p50_ms),
        float(prediction.mean_ms),
        float(prediction.p80_ms),
        float(prediction.p95_ms),
        float(prediction.confidence),
        str(prediction.basis),
        int(prediction.samples),
        str(prediction.predictor),
        int(prediction.version),
        float(prediction.p10_ms),
        float(prediction.p90_ms),
    )


def _of_built_in_types(prediction: TaskPrediction) -> bool:
    # spelled out: a loop over the fields takes twice as long, and this is asked several times for every task
    return (
        type(prediction.p50_ms) is float
        and type(prediction.mean_ms) is float
        and type(prediction.p80_ms) is float
        and type(prediction.p95_ms) is float
        and type(prediction.confidence) is float
        and type(prediction.basis) is str
        and type(prediction.samples) is int
        and type(prediction.predictor) is str
        and type(prediction.version) is int
        and type(prediction.p10_ms) is float
        and type(prediction.p90_ms) is float
    )
