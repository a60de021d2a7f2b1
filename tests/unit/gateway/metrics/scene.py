"""Pictures of a pool, as schedulers paint them."""

from __future__ import annotations

from typing import Any

from nexus_sched.model.frame import Frame, Spread
from nexus_sched.model.tallies import Histogram, Tallies
from nexus_sched.model.worker import WorkerStanding, WorkerState

COUNTERS = {"submitted": 12, "dispatched": 10, "finished": 7, "predictions": 6, "predictions_within": 5, "vanished": 1}


def tallies(**changed: Any) -> Tallies:
    """Counted since the first second."""
    fields: dict[str, Any] = {
        "since_ms": 1_000,
        "decision_ns": Histogram([0] * 16 + [8, 2], 500_000.0),
        "commit_us": Histogram([0] * 9 + [5], 2_000.0),
        "dispatch_ms": Histogram([4, 2, 0, 1], 12.0),
        "inbox_ms": Histogram([6], 0.0),
        "error_percent": Histogram([1, 0, 0, 0, 4], 50.0),
        "execution_ms": {"resize": Histogram([0, 0, 0, 5], 30.0), "other": Histogram([2], 1.0)},
        "covered": {"0.5": 3, "0.8": 5, "0.95": 6},
        "intervals": 6,
        "fallbacks": {"over-budget": 0, "failing": 1},
        "journal_lag_turns": 2,
        "loop_lag_ms": 3.0,
    }
    return Tallies(**(fields | changed))


def frame(**changed: Any) -> Frame:
    """One shard with a worker."""
    worker = WorkerState(
        worker="w1",
        standing=WorkerStanding.ACCEPTING,
        worker_class="",
        slots=2,
        in_flight=1,
        booked_ms=0.0,
        incarnation=1,
        heard_age_ms=0.0,
    )
    fields: dict[str, Any] = {
        "pool": "default",
        "shard": 0,
        "owner": "one",
        "epoch": 1,
        "seq": 40,
        "at_ms": 100_000,
        "mode": "predictive",
        "predictor": "learned",
        "breaker": "closed",
        "queued": 30,
        "in_flight": 2,
        "queued_predicted_ms": 90_000.0,
        "workers_live": 1,
        "workers_accepting": 1,
        "counters": COUNTERS,
        "decision_us": Spread(),
        "turn_us": Spread(),
        "predictions": 6,
        "predictions_within_25": 5 / 6,
        "workers": [worker],
        "tallies": tallies(),
    }
    return Frame(**(fields | changed))
