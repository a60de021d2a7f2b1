"""Whether a worker may run a task, written down once more from the words of the model. Shares nothing with the core."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nexus_sched.core.records import WorkerRecord
from nexus_sched.model.terms import Condition, Needs

SLACK = 1e-6  # of a resource: sums are exact here and rounded there


def feasible(worker: WorkerRecord, needs: Needs) -> bool:
    """By overrides, labels, taints and what its tasks leave of its resources; whether it is open is another matter."""
    bounds = needs.bounds
    if bounds is not None and (worker.name in bounds.never or (bounds.only and bounds.only != worker.name)):
        return False
    if any(each.prefer_ms is None and not meets(each, worker.labels) for each in needs.conditions):
        return False
    if set(worker.taints) - set(needs.tolerates):
        return False
    asked = [record.task.terms.needs.resources for record in worker.placed.values()]
    for name, amount in needs.resources:
        taken = math.fsum(each for amounts in asked for other, each in amounts if other == name)
        if name not in worker.resources or amount > worker.resources[name] - taken + SLACK:
            return False
    return True


def meets(condition: Condition, labels: Mapping[str, str]) -> bool:
    """Whether labels meet a condition."""
    value = labels.get(condition.label)
    number, bound = _number(value), _number(condition.values[0] if condition.values else None)
    return {
        "in": value in condition.values,
        "not-in": value not in condition.values,
        "exists": value is not None,
        "missing": value is None,
        "above": number > bound,
        "below": number < bound,
    }[condition.operator.value]


def _number(text: str | None) -> float:
    """NaN, which is neither above nor below anything, for what is no number."""
    try:
        return math.nan if text is None else float(text)
    except ValueError:
        return math.nan
