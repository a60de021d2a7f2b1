"""From a choice to a decision: what is predicted for the chosen worker, booked with the task, and recorded."""

from __future__ import annotations

from nexus_sched.core.forecasts import Forecasts
from nexus_sched.core.placement import Choice
from nexus_sched.core.records import Booking, TaskRecord
from nexus_sched.core.roster import banded
from nexus_sched.model.bill import Why
from nexus_sched.model.decision import SchedulingDecision


def decide(
    record: TaskRecord,
    choice: Choice,
    forecasts: Forecasts,
    why: Why | None,
    overrides: tuple[str, ...],
    now_ms: int,
) -> tuple[SchedulingDecision, Booking]:
    """Start the next attempt of a waiting task: the decision, and what is predicted and booked for this worker.

    Results have arrived while the task waited, and now the worker is known, so the prediction is made again.
    """
    worker, policy, mean_ms, score_ms = choice.worker, choice.policy, choice.mean_ms, choice.score_ms
    task = record.task
    if record.history is not None:
        record.attempt = max(record.attempt, record.history.attempts)
    record.attempt += 1
    wait_ms = float(max(0, now_ms - task.arrived_at_ms))
    refined = None if mean_ms < 0.0 else forecasts.refine(task, worker, choice.prediction, now_ms)
    if refined is None:
        record.mean_ms = -1.0
        booking = record.booking = Booking()
        blind = SchedulingDecision(
            task.id, task.type, worker.name, record.attempt, policy, wait_ms=wait_ms, why=why, overrides=overrides
        )
        return blind, booking
    candidate = forecasts.ask_shadow(task, worker)
    record.mean_ms = mean_ms
    booking = record.booking = Booking(refined.mean_ms, refined, banded(worker.pace))
    if candidate is not None and forecasts.shadow is not None:
        booking.shadow, booking.shadow_p50_ms = forecasts.shadow.name, candidate.p50_ms
    decision = SchedulingDecision(
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
        overrides,
    )
    return decision, booking
