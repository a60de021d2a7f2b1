"""What is recorded with a decision: funnel, bill, round robin's choice, the settings; and what runs regret."""

from __future__ import annotations

import msgspec
import pytest

from nexus_sched.core import snapshot
from nexus_sched.model.bill import Bill, Why, bill_of, funnel_of
from nexus_sched.model.conditions import conditions_of
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.effects import AnyEffect, Dispatch
from nexus_sched.model.events import AnyEvent, SettingsChanged, WorkerCordoned, WorkerJoined, WorkerSuspected
from nexus_sched.model.journal import FORMAT, Turn, decode_turn, encode_turn
from nexus_sched.model.settings import LEAST_OUTSTANDING, ROUND_ROBIN, EngineSettings
from nexus_sched.model.terms import Needs, Terms
from nexus_sched.testing.builders import (
    Bench,
    ToldPredictor,
    draining,
    finished,
    joined,
    left,
    prediction,
    submitted,
    task,
)


def bench(mean_ms: float | None = 100.0, **settings: object) -> Bench:
    told = ToldPredictor(lambda _: None if mean_ms is None else prediction(mean_ms))
    return Bench(EngineSettings(predictor="told", **settings), told)


def decisions(effects: list[AnyEffect]) -> list[SchedulingDecision]:
    return [each.decision for each in effects if isinstance(each, Dispatch)]


def decided(here: Bench, *events: AnyEvent) -> tuple[SchedulingDecision, Why]:
    (decision,) = decisions(here.turn(*events))
    assert decision.why is not None
    return decision, decision.why


def read(why: Why) -> Bill:
    bill = bill_of(why)
    assert bill is not None
    return bill


def counted(why: Why) -> dict[str, int]:
    return {kind: count for kind, count in funnel_of(why).items() if count}


def offering(name: str, **offer: object) -> WorkerJoined:
    return msgspec.structs.replace(joined(name), **offer)


def asking(task_id: str = "t1", **terms: object) -> AnyEvent:
    return submitted(task(task_id, asks=Terms(**terms)))


# -- the funnel ------------------------------------------------------------------------------------------


def test_funnel_of_a_plain_task_counts_every_standing():
    here = bench(prefetch=0)
    here.turn(*(joined(f"w{number}") for number in range(7)), joined("gone"))
    here.turn(draining("w0"), WorkerCordoned("w1", False, "", ""), WorkerSuspected("w2"), left("gone"))
    here.turn(submitted("t0"))
    _, why = decided(here, submitted("t1"))
    assert counted(why) == {
        "workers": 7,
        "open": 3,
        "draining": 1,
        "cordoned": 1,
        "suspect": 1,
        "no credit left": 1,
    }


def test_funnel_of_a_task_that_asks_for_something_counts_what_it_lacks():
    here = bench()
    here.turn(
        *(offering("fits", labels={"gpu": ""}, resources={"memory": 8.0}), offering("bare", resources={"memory": 8.0})),
        *(offering("small", labels={"gpu": ""}, resources={"memory": 2.0}), offering("tainted", taints=("spot",))),
        *(offering("left", labels={"gpu": ""}, resources={"memory": 8.0}), draining("left")),
    )
    needs = Needs(conditions_of("gpu"), (), (("memory", 4.0),))
    decision, why = decided(here, asking(needs=needs))
    assert (decision.worker, why.round_robin) == ("fits", "fits")
    assert counted(why) == {"workers": 5, "open": 1, "labels": 1, "resources": 1, "taints": 1, "draining": 1}


def test_funnel_of_a_restored_engine_is_the_same():
    here = bench()
    here.turn(joined("w1"), joined("w2"), WorkerCordoned("w2", False, "", ""))
    twin = bench()
    twin.engine = snapshot.restore(
        snapshot.take(here.engine), {"told": lambda _: ToldPredictor(lambda _: prediction(100.0))}
    )
    events = submitted("t1"), submitted("t2")
    assert decisions(here.turn(*events)) == decisions(twin.turn(*events))


# -- the bill --------------------------------------------------------------------------------------------


def test_bill_has_the_chosen_worker_first_and_then_the_best():
    here = bench(explain_top=3)
    here.turn(*(joined(f"w{number}") for number in range(6)))
    for number, factor in enumerate((3.0, 1.5, 2.0, 1.0, 5.0, 4.0)):
        worker = here.engine.roster.by_name[f"w{number}"]
        here.engine.roster.paces.restart(worker, worker.row, factor, 100)
    decision, why = decided(here, submitted("t1"))
    bill = read(why)
    assert [row.worker for row in bill.rows] == ["w3", "w1", "w2", "w0"]
    assert [row.run_ms for row in bill.rows] == [100.0, 150.0, 200.0, 300.0]
    assert (why.round_robin, bill.weights.wait, bill.margin_ms) == ("w0", EngineSettings().wait_weight, 10.0)
    assert bill.rows[0].total_ms == decision.score_ms == 100.0
    assert (decision.model, decision.version, decision.confidence) == ("told", 1, 1.0)


def test_bill_knows_affinity_transfer_and_preferred_labels():
    here = bench(transfer_ms_per_mib=8.0, affinity_ms=50.0)
    here.turn(joined("home"), offering("liked", labels={"ssd": ""}))
    here.turn(WorkerCordoned("liked", False, "", ""), asking("t1", affinity="k"))
    here.turn(joined("liked"))
    here.turn(offering("liked", labels={"ssd": ""}, incarnation=2))
    needs = Needs(conditions_of("ssd worth 20ms"))
    moved = msgspec.structs.replace(task("t2", asks=Terms(needs=needs, affinity="k")), payload_bytes=2**20)
    here.turn(finished("t1", "home"))
    here.engine.cordons.clear()
    here.engine.roster.by_name["liked"].cordoned = False
    here.engine.roster.refresh(here.engine.roster.by_name["liked"])
    _, why = decided(here, submitted(moved))
    rows = {row.worker: row for row in read(why).rows}
    assert rows["home"].affinity_ms == pytest.approx(-58.0)
    assert (rows["home"].transfer_ms, rows["liked"].transfer_ms) == (8.0, 8.0)
    assert (rows["home"].preferred_ms, rows["liked"].preferred_ms) == (0.0, -20.0)
    assert rows["home"].total_ms == pytest.approx(50.0)
    assert rows["liked"].total_ms == pytest.approx(88.0)


def test_bill_and_all_else_can_be_switched_off():
    here = bench(explain_top=0)
    (decision,) = decisions(here.turn(joined("w1"), submitted("t1")))
    assert decision.why is None
    here.turn(finished("t1"))
    assert here.engine.counters["compared"] == 0


@pytest.mark.parametrize("fallback", [ROUND_ROBIN, LEAST_OUTSTANDING])
def test_decision_of_a_fallback_has_a_funnel_and_no_bill(fallback: str):
    here = bench(None, fallback=fallback)
    here.turn(joined("w1"), joined("w2"))
    decision, why = decided(here, submitted("t1"))
    assert (decision.policy, why.bill, why.candidates) == (fallback, b"", ())
    assert counted(why) == {"workers": 2, "open": 2}
    assert why.round_robin == ("" if fallback == ROUND_ROBIN else "w1")


def test_round_robin_goes_on_by_one_with_every_task_and_skips_who_takes_nothing():
    here = bench()
    here.turn(*(joined(f"w{number}", slots=2) for number in range(4)), draining("w2"))
    told = decisions(here.turn(*(submitted(f"t{number}") for number in range(5))))
    assert [each.why.round_robin for each in told if each.why is not None] == ["w0", "w1", "w3", "w3", "w0"]


def test_digest_tells_configurations_apart():
    here = bench()
    here.turn(joined("w1", slots=8))
    first = decided(here, submitted("t1"))[1].settings
    assert decided(here, submitted("t2"))[1].settings == first
    here.turn(SettingsChanged(EngineSettings(predictor="told", wait_weight=0.5), "ann"))
    changed = decided(here, submitted("t3"))[1]
    assert changed.settings != first
    assert read(changed).weights.wait == 0.5


def test_record_survives_the_journal():
    here = bench()
    effects = here.turn(joined("w1"), joined("w2"), submitted("t1"))
    assert decode_turn(encode_turn(Turn(FORMAT, 1, 0, 0, [], effects, {}))).effects == effects


# -- regret ----------------------------------------------------------------------------------------------


def test_run_that_ends_later_than_another_worker_had_promised_is_regretted():
    here = bench()
    here.turn(joined("w1"), joined("w2"), submitted("t1"), submitted("t2"))
    here.turn(finished("t1", "w1"), after_ms=90)
    assert [here.engine.counters[name] for name in ("compared", "regretted", "regret_ms")] == [1, 0, 0]
    here.turn(finished("t2", "w2"), after_ms=60)
    assert here.engine.counters["compared"] == 2
    assert here.engine.counters["regret_ms"] == 0, "w1 had a task already, and promised nothing better"


def test_regret_is_the_time_beyond_the_promise():
    here = bench()
    here.turn(joined("w1"), joined("w2"), submitted("t1"))
    here.turn(finished("t1", "w1"), after_ms=170)
    assert [here.engine.counters[name] for name in ("compared", "regretted", "regret_ms")] == [1, 1, 70]


def test_run_without_an_alternative_is_not_compared():
    here = bench()
    here.turn(joined("w1"), submitted("t1"))
    here.turn(finished("t1", "w1"), after_ms=170)
    assert here.engine.counters["compared"] == 0
