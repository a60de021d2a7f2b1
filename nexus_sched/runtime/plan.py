"""From the effects of a turn to the one commit that carries them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nexus_sched.model.effects import (
    Answered,
    AnyEffect,
    CancelQueued,
    CancelRunning,
    DeadLetter,
    Discard,
    Dispatch,
    Estimated,
    Retract,
)
from nexus_sched.model.eta import encode_eta
from nexus_sched.model.outcome import Reason
from nexus_sched.runtime.ports import (
    FACT_STREAMS,
    AnswerLine,
    CommitPlan,
    DispatchLine,
    EndLine,
    EstimateLine,
    RetractLine,
    StopLine,
)

ID_PART_MAX = 2**64 - 1  # of an entry id; whoever appends an entry may choose it


def plan_commit(turn: bytes, effects: Sequence[AnyEffect], cursors: Mapping[str, str]) -> CommitPlan:
    """Everything the turn writes. Fact streams are cut behind what the turn has read of them."""
    plan = CommitPlan(turn, {}, {}, [], [], [], [])
    removals = plan.removals
    for effect in effects:
        if type(effect) is Dispatch:
            decision = effect.decision
            if effect.stream:  # a copy of a running task has no pointer in a queue
                removals.setdefault(effect.stream, []).append(effect.entry)
            plan.dispatches.append(DispatchLine(decision.worker, decision.task_id, decision.attempt))
        elif type(effect) is Discard:
            removals.setdefault(effect.stream, []).append(effect.entry)
        elif type(effect) is Retract:
            plan.retracts.append(RetractLine(effect.worker, effect.inbox_entry, effect.task_id, effect.attempt))
        elif type(effect) is CancelRunning:
            control = "preempt" if effect.preempt else "stop"
            plan.stops.append(StopLine(effect.worker, effect.task_id, effect.attempt, control))
        elif type(effect) is CancelQueued:
            removals.setdefault(effect.stream, []).append(effect.entry)
            plan.ends.append(EndLine(False, effect.task_id, 0, Reason.CANCELLED, "", ""))
        elif type(effect) is DeadLetter:
            if effect.entry:  # a refused input of the shell's own has none
                removals.setdefault(effect.stream, []).append(effect.entry)
            plan.ends.append(EndLine(True, effect.task_id, effect.attempt, effect.reason, effect.worker, effect.detail))
        elif type(effect) is Estimated:
            plan.estimates.append(EstimateLine(effect.task_id, encode_eta(effect.eta)))
        elif type(effect) is Answered:
            plan.answers.append(AnswerLine(effect.reply, effect.blob))
    for stream in FACT_STREAMS:
        if stream in cursors:
            plan.trims[stream] = behind(cursors[stream])
    return plan


def behind(entry: str) -> str:
    """The lowest entry id greater than `entry`; `entry` itself if it is the highest there can be."""
    instant, _, index = entry.partition("-")
    if int(index) < ID_PART_MAX:
        return f"{instant}-{int(index) + 1}"
    return f"{int(instant) + 1}-0" if int(instant) < ID_PART_MAX else entry
