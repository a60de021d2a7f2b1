"""Effects become one plan; nothing that a hostile entry id or a quarantined input can do makes it unwritable."""

from __future__ import annotations

import pytest

from nexus_sched.adapters.memory import MemoryShard
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.effects import (
    Answered,
    CancelQueued,
    CancelRunning,
    DeadLetter,
    Discard,
    Dispatch,
    Estimated,
    Retract,
)
from nexus_sched.model.eta import Eta, encode_eta
from nexus_sched.model.outcome import Reason
from nexus_sched.runtime.plan import behind, plan_commit
from nexus_sched.runtime.ports import (
    AnswerLine,
    CommitPlan,
    DispatchLine,
    EndLine,
    EstimateLine,
    Lease,
    RetractLine,
    StopLine,
)

ETA = Eta(1, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.5, "like runs")


def test_every_effect_has_its_place_in_the_plan():
    effects = [
        Dispatch(SchedulingDecision("a", "kind", "w1", 1, "round-robin"), "q:5", "1-0"),
        Discard("i:w2", "2-0"),
        Retract("b", 2, "w2", "3-0"),
        CancelRunning("c", 3, "w3", "9-1"),
        CancelQueued("d", "q:5", "4-0"),
        DeadLetter("e", Reason.MALFORMED, 0, "w4", "why", "q:r", "5-0"),
        Estimated("f", ETA),
        Answered("me", b"{}"),
    ]
    assert plan_commit(b"turn", effects, {"res": "7-1", "q:5": "4-0"}) == CommitPlan(
        b"turn",
        {"res": "7-2"},
        {"q:5": ["1-0", "4-0"], "i:w2": ["2-0"], "q:r": ["5-0"]},
        [DispatchLine("w1", "a", 1)],
        [
            EndLine(False, "d", 0, Reason.CANCELLED, "", ""),
            EndLine(True, "e", 0, Reason.MALFORMED, "w4", "why"),
        ],
        [RetractLine("w2", "3-0", "b", 2)],
        [StopLine("w3", "c", 3)],
        [EstimateLine("f", encode_eta(ETA))],
        [AnswerLine("me", b"{}")],
    )


def test_refused_input_of_the_shell_removes_nothing():
    plan = plan_commit(b"turn", [DeadLetter("", Reason.ENGINE_ERROR, 0, "", "why", "", "")], {})
    assert plan.removals == {}
    shard = MemoryShard(lambda: 1)
    lease = shard.acquire("me", "nonce", None)
    assert isinstance(lease, Lease)
    assert shard.commit(lease, 0, plan, publish=False) == 1
    assert len(shard.streams["dead"]) == 1


HIGHEST = 2**64 - 1


@pytest.mark.parametrize(
    ("entry", "next_entry"),
    [
        ("0-0", "0-1"),
        ("1700-9", "1700-10"),
        (f"1700-{HIGHEST}", "1701-0"),
        (f"{HIGHEST}-0", f"{HIGHEST}-1"),
        (f"{HIGHEST}-{HIGHEST}", f"{HIGHEST}-{HIGHEST}"),
    ],
)
def test_next_entry_id_is_one_that_the_store_can_read(entry: str, next_entry: str):
    assert behind(entry) == next_entry
