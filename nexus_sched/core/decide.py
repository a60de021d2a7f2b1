"""From a choice to a decision: what is predicted for the chosen worker, booked with the task, and recorded."""

from __future__ import annotations

from nexus_sched.core.forecasts import Forecasts
from nexus_sched.core.placement import Choice
from nexus_sched.core.records import TaskRecord
from nexus_sched.core.roster import banded
from nexus_sched.model.bill import Why
from nexus_sched.model.decision import SchedulingDecision


def decide(
    record: TaskRecord, choice: Choice, forecasts: Forecasts, why: Why | None, now_ms: int
) -> SchedulingDecision:
    """Start the next attempt of a waiting task: its bookings and predictions for this worker, and the decision.

    Results have arrived while the task waited, and now the worker is known, so the prediction is made again.
    """
    worker, policy, mean_ms, score_ms = choice.worker, choice.policy, choice.mean_ms, choice.score_ms
    task = record.task
    record.attempt = max(record.attempt, record.attempts) + 1
    wait_ms = float(max(0, now_ms - task.arrived_at_ms))
    refined = None if mean_ms < 0.0 else forecasts.refine(task, worker, choice.prediction, now_ms)
    if refined is None:
        record.mean_ms = record.shadow_p50_ms = -1.0
        record.booked_ms = 0.0
        record.prediction = None
        record.shadow = ""
        return SchedulingDecision(task.id, task.type, worker.name, record.attempt, policy, wait_ms=wait_ms, why=why)
    candidate = forecasts.ask_shadow(task, worker)
    record.mean_ms = mean_ms
    record.pace = banded(worker.pace)
    record.booked_ms = refined.mean_ms
    record.prediction = refined
    record.shadow_p50_ms = -1.0 if candidate is None else candidate.p50_ms
    record.shadow = "" if candidate is None or forecasts.shadow is None else forecasts.shadow.name
    return SchedulingDecision(
        task.id,
        task.type,
        worker.name,
        record.attempt,
        policy,
        refined.mean_ms,
        refined.p50_ms,
        score_ms,
        wait_ms,
        refined.basis,
        refined.confidence,
        refined.predictor,
        refined.version,
        refined.p80_ms,
        choice.explored,
        why,
    )
