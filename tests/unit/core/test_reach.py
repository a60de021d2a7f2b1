"""While all are busy a task waits in the queue, until a worker is about to be free; an idle worker never waits."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.core import snapshot
from nexus_sched.model.events import WorkerJoined
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Condition, Needs, Operator, Terms
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    finished,
    joined,
    prediction,
    submitted,
    task,
)

REACH_MS = 6  # three round trips of 2 ms


def bench(mean_ms: float = 100.0, **settings: object) -> Bench:
    told = ToldPredictor(lambda asked: prediction(asked.hint_ms or mean_ms))
    return Bench(EngineSettings(predictor="told", explore_share=0.0, **settings), told)


def zoned(name: str, zone: str) -> WorkerJoined:
    return structs.replace(joined(name), labels={"zone": zone})


def bound_to_a(name: str) -> Task:
    return task(name, asks=Terms(needs=Needs(conditions=(Condition("zone", Operator.IN, ("a",)),))))


def busy(mean_ms: float = 100.0, **settings: object) -> Bench:
    here = bench(mean_ms, **settings)
    here.turn(joined("w1"), submitted("t1"))
    return here


def test_task_waits_in_the_queue_until_a_worker_is_about_to_be_free():
    here = busy()
    assert here.dispatched(submitted("t2")) == []
    assert here.engine.next_due_ms == here.now_ms + 100 - REACH_MS
    assert here.dispatched(after_ms=100 - REACH_MS - 1) == []
    assert here.engine.next_due_ms == here.now_ms + 1
    assert here.dispatched(after_ms=1) == [("t2", "w1")]


def test_short_tasks_are_sent_ahead_as_ever():
    here = busy(mean_ms=float(REACH_MS), prefetch=2)
    assert here.dispatched(submitted("t2"), submitted("t3")) == [("t2", "w1")]
    assert here.dispatched(after_ms=REACH_MS) == [("t3", "w1")]


@pytest.mark.parametrize(("reach", "sent"), [(0.0, []), (49.0, []), (50.0, [("t2", "w1")])])
def test_reach_is_a_number_of_round_trips(reach: float, sent: list[tuple[str, str]]):
    assert busy(prefetch_reach=reach).dispatched(submitted("t2")) == sent


def test_what_comes_free_first_is_what_is_waited_for():
    here = bench()
    here.turn(
        joined("w1"), joined("w2"), submitted(task("long", hint_ms=900.0)), submitted(task("short", hint_ms=50.0))
    )
    first = here.engine.tasks["short"].worker
    assert here.dispatched(submitted("t3"), after_ms=10) == []
    assert here.engine.next_due_ms == here.now_ms + 40 - REACH_MS
    assert here.dispatched(after_ms=40 - REACH_MS) == [("t3", first)]


def test_turns_are_wanted_once_for_each_worker_that_comes_within_reach():
    here = bench()
    here.turn(*(joined(f"w{number}") for number in range(5)))
    here.turn(*(submitted(task(f"t{number}", hint_ms=1_000.0 + number)) for number in range(5)))
    here.turn(submitted(bound_to_a("never")))
    wanted = []
    while (due_ms := here.engine.next_due_ms) is not None and due_ms <= 1_000:
        wanted.append(due_ms)
        assert here.dispatched(after_ms=due_ms - here.now_ms) == []
    assert wanted == [here_ms - REACH_MS for here_ms in range(1_000, 1_005)]


def test_idle_worker_takes_a_task_at_once_and_so_does_a_faster_one_that_is_worth_the_wait():
    here = busy()
    assert here.dispatched(joined("w2"), submitted("t2")) == [("t2", "w2")]
    here = busy(wait_weight=1.0)
    here.turn(joined("slow"))
    slow = here.engine.roster.by_name["slow"]
    here.engine.roster.paces.restart(slow, slow.row, 10.0, 1_000)
    assert here.dispatched(submitted("t2")) == [("t2", "w1")], "200 ms against 1000 ms"


def test_idle_worker_that_a_task_may_not_run_on_lets_nobody_bind_early():
    here = bench()
    here.turn(zoned("w1", "a"), submitted(bound_to_a("t1")))
    assert here.dispatched(zoned("w2", "b"), submitted(bound_to_a("t2"))) == []
    assert here.dispatched(submitted("t3")) == [("t3", "w2")]
    assert here.dispatched(after_ms=100 - REACH_MS) == [("t2", "w1")]


def test_task_that_waits_for_somebody_to_be_free_holds_no_worker():
    here = busy(mean_ms=60_000.0, reserve_after_ms=10.0)
    here.turn(submitted("t2"))
    for _ in range(5):
        here.turn(after_ms=1_000)
    assert len(here.engine.reservations) == 0
    assert here.engine.tasks["t2"].past.reserve_at_ms == 0


def test_without_a_prediction_tasks_are_bound_as_before():
    here = Bench(EngineSettings(predictor="told"), ToldPredictor(lambda _: None))
    here.turn(joined("w1"), submitted("t1"))
    assert here.dispatched(submitted("t2")) == [("t2", "w1")]


def test_restored_engine_wants_the_same_turn_and_sends_the_same():
    here = busy()
    here.turn(submitted("t2"), after_ms=30)
    told = ToldPredictor(lambda _: prediction(100.0))
    engine = snapshot.restore(snapshot.take(here.engine), {**PREDICTORS, "told": lambda _: told})
    assert engine.next_due_ms == here.engine.next_due_ms
    twin = Bench()
    twin.engine, twin.now_ms = engine, here.now_ms
    due_ms = engine.next_due_ms
    assert due_ms is not None
    assert here.turn(after_ms=due_ms - here.now_ms) == twin.turn(after_ms=due_ms - twin.now_ms)
    assert here.engine.digest() == twin.engine.digest()
    here.turn(finished("t1"))
    assert here.engine.roster.by_name["w1"].in_flight == 1
