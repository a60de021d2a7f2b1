"""Why a task is not on a certain worker, and which of its demands nobody can meet. In sentences, for people.

Law: the first reason is the one of `eligibility.rejection`, by which workers are kept from tasks. Here it only gets its
particulars.
"""

from __future__ import annotations

import math

from nexus_sched.core.eligibility import (
    BROKEN,
    BUSY,
    CORDONED,
    DRAINING,
    LABELS,
    OVERRIDES,
    RESOURCES,
    SUSPECT,
    TAINTS,
    allowed,
    holds,
    rejection,
    tolerated,
    worth_ms,
)
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.core.resources import fits
from nexus_sched.core.state import EngineState
from nexus_sched.model.conditions import condition_text
from nexus_sched.model.events import OverrideAdded
from nexus_sched.model.overrides import PRIORITY, told_of
from nexus_sched.model.terms import Condition, Needs
from nexus_sched.units import amount_text, span_text


def why_not(state: EngineState, record: TaskRecord, name: str) -> str:
    """Why a live task is not on the worker of this name, as of the current turn."""
    worker = state.roster.by_name.get(name)
    if worker is None:
        return f"no worker {name!r} is registered"
    if record.worker == name:
        return "it is there"
    needs = state.overrides.applied(record.past.own or record.task).terms.needs  # also of one that is placed
    holder = state.reservations.holder_of(name)
    if holder and holder != record.task.id:
        return f"it is held free for task {holder}, which others kept overtaking"
    reason = rejection(worker, needs)
    if reason is not None:
        return _particulars(state, record, worker, needs, reason)
    if record.waiting and worker.in_flight >= worker.slots:
        return f"its slots ({worker.slots}) are busy, and it is sent more only when one is about to be free"
    if record.past.avoid == name:
        return "the task came back from there, so others are tried first; but it may go there"
    if record.waiting:
        return "nothing keeps the task from there but its turn"
    return "nothing keeps the task from there now; see the bill for when it was placed"


def _particulars(state: EngineState, record: TaskRecord, worker: WorkerRecord, needs: Needs, reason: str) -> str:
    if reason == OVERRIDES:
        return f"overrides keep the task from there: {' and '.join(map(told_of, _binding(state, record)))}"
    if reason == TAINTS:
        missing = [taint for taint in worker.taints if taint not in needs.tolerates]
        return f"the task does not tolerate its taint {missing[0]!r}"
    if reason == LABELS:
        failing = next(each for each in needs.conditions if each.prefer_ms is None and not holds(each, worker.labels))
        value = worker.labels.get(failing.label)
        there = "the worker has no such label" if value is None else f"the worker has {failing.label} = {value}"
        return f"the task requires {condition_text(failing)}, and {there}"
    if reason == RESOURCES:
        return _lacking(worker, needs)
    if reason in (DRAINING, CORDONED):
        cordon = state.cordons.get(worker.name)
        who = f", by {cordon.actor or 'somebody'}: {cordon.reason or 'no reason given'}" if cordon is not None else ""
        return f"it is {reason}{who}"
    if reason == BROKEN and worker.breaker is not None:
        story = worker.breaker.story(state.now_ms)
        why = f": {story.history[-1][2]}" if story.history else ""
        return f"its breaker is open{why}; it is tried again in {span_text(story.opens_until_ms)}"
    if reason == SUSPECT:
        return "it was not heard of for too long; the next heartbeat brings it back"
    if reason == BUSY:
        return f"it holds {worker.in_flight} tasks, and may hold {worker.credit}"
    return f"it is {reason}"


def _binding(state: EngineState, record: TaskRecord) -> list[OverrideAdded]:
    return [each for each in state.overrides.of(record.task) if each.effect != PRIORITY]


def _lacking(worker: WorkerRecord, needs: Needs) -> str:
    name, amount = next(
        ((name, amount) for name, amount in needs.resources if not fits(worker, ((name, amount),))), ("", 0.0)
    )
    offered = worker.resources.get(name, 0.0)
    wants = f"the task asks for {amount_text(amount)} of {name}"
    if offered <= 0.0:
        return f"{wants}, and the worker offers none"
    if amount > offered:
        return f"{wants}, and the worker has {amount_text(offered)} in all"
    return f"{wants}, and {amount_text(max(0.0, offered - worker.used.get(name, 0.0)))} is left"


def impossible(state: EngineState, needs: Needs) -> list[tuple[str, str]]:
    """Demands that no worker which overrides leave could ever meet: `(the demand, what there is instead)`.

    If each can be met, but no worker meets all of them, that is the one entry. Empty if somebody could run the task.
    """
    ring = [each for each in state.roster.ring if allowed(each.name, needs)]
    if any(worth_ms(each, needs) < math.inf and fits(each, needs.resources, ever=True) for each in ring):
        return []
    found = [_condition(ring, each) for each in needs.conditions if each.prefer_ms is None]
    found += [_resource(ring, name, amount) for name, amount in needs.resources]
    found.append(_taint(ring, needs))
    failing = [each for each in found if each is not None]
    return failing or [("all of its demands at once", "each is met by some worker, but no worker meets all of them")]


def _condition(ring: list[WorkerRecord], condition: Condition) -> tuple[str, str] | None:
    if any(holds(condition, worker.labels) for worker in ring):
        return None
    values = sorted({worker.labels[condition.label] for worker in ring if condition.label in worker.labels})
    shown = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
    there = f"{condition.label} is {shown} in this pool" if values else f"no worker has a label {condition.label}"
    return condition_text(condition), there


def _resource(ring: list[WorkerRecord], name: str, amount: float) -> tuple[str, str] | None:
    if any(fits(worker, ((name, amount),), ever=True) for worker in ring):
        return None
    most = max((worker.resources.get(name, 0.0) for worker in ring), default=0.0)
    there = f"the most that a worker offers is {amount_text(most)}" if most > 0.0 else "no worker offers any"
    return f"{amount_text(amount)} of {name}", there


def _taint(ring: list[WorkerRecord], needs: Needs) -> tuple[str, str] | None:
    if any(tolerated(worker, needs) for worker in ring):
        return None
    taints = sorted({taint for worker in ring for taint in worker.taints if taint not in needs.tolerates})
    return "an untainted worker", f"every worker is tainted: {', '.join(taints[:5])}"
