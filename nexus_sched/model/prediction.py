"""What a predictor answers: how long a task will run, and how sure it is."""

from __future__ import annotations

from msgspec import Struct


class TaskPrediction(Struct, frozen=True, array_like=True, gc=False):
    """Predicted service time of one task (on one worker, if one was named), in milliseconds.

    `p50_ms` is for people, `mean_ms` for sums of work; the two differ on skewed types.
    """

    p50_ms: float
    mean_ms: float
    p80_ms: float
    p95_ms: float
    confidence: float  # 0..1, how much the predictor has to go by
    basis: str  # which rule answered, e.g. "type", "hint"
    samples: int  # completions behind it
    predictor: str
    version: int
    p10_ms: float = 0.0  # with `p90_ms` the 80 % interval; 0 and 0 if the predictor gives none
    p90_ms: float = 0.0
