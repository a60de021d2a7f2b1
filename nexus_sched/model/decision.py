"""One placement, with what it was based on."""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.model.bill import Why


class SchedulingDecision(Struct, frozen=True, array_like=True, gc=False):
    """Which worker a task goes to, and why. All spans in milliseconds.

    `score_ms` is J of placement.md (lower is better); it and `predicted_ms` are `None` if the policy
    that placed it used no prediction.
    """

    task_id: str
    task_type: str
    worker: str
    attempt: int
    policy: str  # "predictive", "least-outstanding" or "round-robin"
    predicted_ms: float | None = None  # mean service time booked on the worker
    p50_ms: float | None = None
    score_ms: float | None = None
    wait_ms: float = 0.0  # how long it had waited in the queue when it was placed
    basis: str = ""
    confidence: float = 0.0  # 0..1, of the prediction
    model: str = ""  # who predicted
    version: int = 0
    p80_ms: float | None = None  # of the prediction, as `p50_ms`
    explored: bool = False  # a wider difference counted as a near tie
    why: Why | None = None  # unless the recording of reasons is switched off
    overrides: tuple[str, ...] = ()  # names of those that bound it, as `model.overrides.name_of` writes them
