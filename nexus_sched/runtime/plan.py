"""From the effects of a turn to the one commit that carries them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nexus_sched.model.effects import (
    AnyEffect,
    CancelQueued,
    CancelRunning,
    DeadLetter,
    Discard,
    Dispatch,
    Retract,
)
from nexus_sched.model.outcome import Reason
from nexus_sched.runtime.ports import FACT_STREAMS, CommitPlan, DispatchLine, EndLine, RetractLine


def plan_commit(turn: bytes, effects: Sequence[AnyEffect], cursors: Mapping[str, str]) -> CommitPlan:
    """Everything the turn writes. Fact streams are cut behind what the turn has read of them."""
    plan = CommitPlan(turn, {}, {}, [], [], [], [])
    removals = plan.removals
    for effect in effects:
        if type(effect) is Dispatch:
            decision = effect.decision
            removals.setdefault(effect.stream, []).append(effect.entry)
            plan.dispatches.append(DispatchLine(decision.worker, decision.task_id, decision.attempt))
        elif type(effect) is Discard:
            removals.setdefault(effect.stream, []).append(effect.entry)
        elif type(effect) is Retract:
            plan.retracts.append(RetractLine(effect.worker, effect.inbox_entry, effect.task_id, effect.attempt))
        elif type(effect) is CancelRunning:
            plan.stops.append(DispatchLine(effect.worker, effect.task_id, effect.attempt))
        elif type(effect) is CancelQueued:
            removals.setdefault(effect.stream, []).append(effect.entry)
            plan.ends.append(EndLine(False, effect.task_id, 0, Reason.CANCELLED, "", ""))
        elif type(effect) is DeadLetter:
            removals.setdefault(effect.stream, []).append(effect.entry)
            plan.ends.append(EndLine(True, effect.task_id, effect.attempt, effect.reason, effect.worker, effect.detail))
    for stream in FACT_STREAMS:
        if stream in cursors:
            plan.trims[stream] = behind(cursors[stream])
    return plan


def behind(entry: str) -> str:
    """The lowest entry id greater than `entry`."""
    instant, _, index = entry.partition("-")
    return f"{instant}-{int(index) + 1}"
