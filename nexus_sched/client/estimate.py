"""An estimate as people read it: spans in seconds, instants as dates, and what is not known is `None`.

The scheduler speaks of milliseconds from an instant of its own clock (`model.eta.Eta`); that instant travels along, so
the dates are right even if it is read long after it was made.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from nexus_sched.model.eta import Eta


class Expected(Struct, frozen=True):
    """When something will happen: seconds from the estimate on, and the instants that this means.

    It will have happened by `p50` in one of two cases, by `p80` in four of five, by `p95` in nineteen of twenty.
    """

    p50_s: float
    p80_s: float
    p95_s: float
    p50_at: datetime
    p80_at: datetime
    p95_at: datetime


class Estimate(Struct, frozen=True):
    """When a task will start and finish, as estimated at `made_at`; `start` and `finish` are `None` if unknown."""

    task_id: str
    made_at: datetime
    start: Expected | None
    finish: Expected | None
    confidence: float  # 0..1, how much there is to go by
    basis: str  # which rule the run time comes from, or "no estimate yet"
    on_time: float | None  # probability that the deadline is met, `None` without one
    recent_within_25: float | None  # share of the scheduler's latest estimates that were within 25 %

    @property
    def known(self) -> bool:
        """Whether there is an estimate at all; a type that has never run has none."""
        return self.finish is not None


def estimate_of(task_id: str, eta: Eta) -> Estimate:
    """The same for people."""
    made_at = datetime.fromtimestamp(eta.at_ms / 1e3, UTC)
    known = eta.known
    return Estimate(
        task_id,
        made_at,
        _expected(made_at, eta.start_p50_ms, eta.start_p80_ms, eta.start_p95_ms) if known else None,
        _expected(made_at, eta.finish_p50_ms, eta.finish_p80_ms, eta.finish_p95_ms) if known else None,
        eta.confidence,
        eta.basis,
        eta.on_time if eta.on_time >= 0.0 else None,
        eta.recent_within if eta.recent_within >= 0.0 else None,
    )


def _expected(made_at: datetime, *spans_ms: float) -> Expected:
    instants = [made_at + timedelta(milliseconds=span_ms) for span_ms in spans_ms]
    p50_s, p80_s, p95_s = (round(span_ms / 1e3, 6) for span_ms in spans_ms)
    return Expected(p50_s, p80_s, p95_s, *instants)
