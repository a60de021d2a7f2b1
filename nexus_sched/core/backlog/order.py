"""The order key: K = arrival + c * predicted - priority credit, in milliseconds; the smallest goes first.

The key is static, so ageing is built in: a task is overtaken only by tasks that arrive within a bounded time after it
(placement.md, fact 2). A deadline can only bring a task forward: K is at most the latest instant at which it should
be handed out. A task whose deadline has passed stays in front by that rule, unless it is strict and ends instead.
"""

from __future__ import annotations

from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import PREDICTABLE, PREDICTABLE_WEIGHT_MAX, PREDICTIVE, EngineSettings
from nexus_sched.model.task import PRIORITY_DEFAULT, Task


def order_weight(settings: EngineSettings, mode: str) -> float:
    """c: how much a long prediction delays a task's turn."""
    if mode != PREDICTIVE:
        return 0.0
    if settings.order == PREDICTABLE:
        return min(settings.order_weight, PREDICTABLE_WEIGHT_MAX)
    return settings.order_weight


def order_key(task: Task, prediction: TaskPrediction | None, weight: float, settings: EngineSettings) -> float:
    """K of a task that begins to wait; one that was delayed by its submitter counts as arrived when it may run."""
    key = task.arrived_at_ms - settings.priority_credit_ms * (task.priority - PRIORITY_DEFAULT)
    if prediction is not None and prediction.mean_ms > 0.0:
        key += weight * prediction.mean_ms
    terms = task.asks
    if terms is not None:
        key += max(0, terms.not_before_ms - task.arrived_at_ms)
        if terms.deadline_at_ms:
            tail_ms = 0.0 if prediction is None else prediction.p80_ms
            key = min(key, terms.deadline_at_ms - tail_ms - settings.round_trip_ms)
    return key
