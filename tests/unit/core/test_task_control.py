"""What people decide about tasks, types and the pool: pause, boost, reassign, retry, evict."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.explanation import about_task
from nexus_sched.model.answer import WhyAnswer
from nexus_sched.model.effects import AnyEffect, CancelRunning, Dispatch, Noticed, Retract
from nexus_sched.model.events import (
    RetryRequested,
    TaskBoosted,
    TaskReassigned,
    TasksPaused,
    TasksResumed,
    WorkerEvicted,
)
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import DIRECTED, EngineSettings
from nexus_sched.model.task import Retry
from nexus_sched.model.terms import Condition, Needs, Operator, Terms
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    finished,
    joined,
    left,
    placements,
    reclaimed,
    submitted,
    task,
)
from nexus_sched.testing.checks import bookings_differ, conserves_work


@pytest.fixture
def bench():
    bench = Bench(EngineSettings(predictor="ema", prefetch=0))
    yield bench
    assert bookings_differ(bench.engine) == []
    assert conserves_work(bench.engine) == []
    again = snapshot.restore(snapshot.take(bench.engine), PREDICTORS)
    assert again.digest() == bench.engine.digest()


def why(bench: Bench, task_id: str) -> WhyAnswer:
    answer = about_task(bench.engine, task_id, "")
    assert isinstance(answer, WhyAnswer)
    return answer


def refusals(effects: list[AnyEffect]) -> list[str]:
    return [each.detail for each in effects if isinstance(each, Noticed)]


def test_paused_pool_hands_nothing_out_until_it_is_resumed(bench: Bench):
    bench.turn(joined(slots=2), TasksPaused("", "new disks", "ann"))
    assert bench.dispatched(submitted("t1"), submitted("t2")) == []
    assert bench.engine.next_due_ms is None
    assert not bench.engine.ready
    assert "the pool is paused by ann: new disks" in why(bench, "t1").reason
    assert bench.dispatched(TasksResumed("", "done", "ann")) == [("t1", "w1"), ("t2", "w1")]


def test_paused_type_stands_aside_and_others_pass(bench: Bench):
    bench.turn(joined(slots=3))
    bench.turn(TasksPaused("kind", "bug", "ann"))
    others = [submitted(task("t2", "other")), submitted("t3")]
    assert bench.dispatched(submitted("t1"), *others) == [("t2", "w1")]
    assert "tasks of type 'kind' are paused by ann: bug" in why(bench, "t1").reason
    assert bench.dispatched(TasksResumed("kind", "fixed", "ann")) == [("t1", "w1"), ("t3", "w1")]


def test_pause_takes_tasks_out_of_the_order_that_wait_there_already(bench: Bench):
    bench.turn(joined(), submitted("t1"), submitted("t2"), submitted(task("t3", "other")))
    bench.turn(TasksPaused("kind", "bug", "ann"))
    assert bench.dispatched(finished("t1")) == [("t3", "w1")]
    assert bench.dispatched(finished("t3", attempt=1)) == []
    assert bench.dispatched(TasksResumed("kind", "fixed", "ann")) == [("t2", "w1")]


def test_task_that_comes_back_while_its_type_is_paused_waits_for_the_end_of_the_pause(bench: Bench):
    bench.turn(joined(), joined("w2"), submitted("t1"))
    bench.turn(TasksPaused("kind", "bug", "ann"))
    assert bench.dispatched(left("w1", lost=True), reclaimed("t1")) == []
    assert bench.dispatched(TasksResumed("kind", "fixed", "ann")) == [("t1", "w2")]


def test_resuming_what_is_not_paused_changes_nothing(bench: Bench):
    bench.turn(joined(), submitted("t1"), submitted("t2"))
    assert bench.turn(TasksResumed("", "", ""), TasksResumed("kind", "", "")) == []


def test_boosted_task_passes_those_before_it(bench: Bench):
    bench.turn(joined(), submitted("t1"), submitted("t2"), submitted("t3"))
    bench.turn(TaskBoosted("t3", 9, "customer waits", "ann"))
    assert bench.dispatched(finished("t1")) == [("t3", "w1")]
    (effect,) = bench.turn(finished("t3")) or [None]
    assert isinstance(effect, Dispatch)
    assert (effect.decision.task_id, effect.stream) == ("t2", "q:5")


def test_boost_keeps_the_stream_that_holds_the_pointer(bench: Bench):
    bench.turn(submitted("t1"), TaskBoosted("t1", 9, "", ""))
    (dispatch,) = [each for each in bench.turn(joined()) if isinstance(each, Dispatch)]
    assert (dispatch.stream, dispatch.entry) == ("q:5", "0-t1")


def test_task_is_reassigned_to_the_worker_people_want_and_waits_for_it(bench: Bench):
    bench.turn(joined("w1"), submitted("t0"), joined("w2"))
    assert bench.dispatched(submitted("t1"), TaskReassigned("t1", "w1", "data is there", "ann")) == []
    assert "somebody wants it to run on w1" in why(bench, "t1").reason
    (dispatch,) = [each for each in bench.turn(finished("t0")) if isinstance(each, Dispatch)]
    assert (dispatch.decision.worker, dispatch.decision.policy) == ("w1", DIRECTED)
    assert bench.engine.wishes == {}


def test_placed_task_is_asked_back_and_goes_to_any_other(bench: Bench):
    bench.turn(joined("w1"), submitted("t1"))
    bench.turn(joined("w2"))
    effects = bench.turn(TaskReassigned("t1", "", "slow disk", "ann"))
    assert [(each.task_id, each.worker) for each in effects if isinstance(each, Retract)] == [("t1", "w1")]
    back = reclaimed("t1", reason=Reason.RETRACTED, started=False)
    assert bench.dispatched(back) == [("t1", "w2")]


def test_wish_for_a_worker_ends_with_it(bench: Bench):
    bench.turn(joined("w1"), submitted("t0"), joined("w2"), submitted("t2"))
    bench.turn(submitted("t1"), TaskReassigned("t1", "w2", "", ""))
    assert bench.dispatched(finished("t0")) == []
    back = reclaimed("t2", "w2", reason=Reason.WORKER_LEFT, started=False)
    assert bench.dispatched(left("w2"), back) == [("t2", "w1")]
    assert bench.dispatched(finished("t2", attempt=2)) == [("t1", "w1")]


def test_reassignment_that_cannot_be_is_refused_and_changes_nothing(bench: Bench):
    gpu = Terms(needs=Needs((Condition("gpu", Operator.EXISTS),)))
    bench.turn(joined("w1"), submitted("t1"), submitted("t2"), submitted(task("t3", asks=gpu)))
    for wrong in (
        *(TaskReassigned("t1", "w1", "", ""), TaskReassigned("t9", "w1", "", ""), TaskReassigned("t2", "w9", "", "")),
        *(TaskReassigned("t2", "", "", ""), TaskReassigned("t3", "w1", "", "")),
    ):
        (refusal,) = refusals(bench.turn(wrong))
        assert refusal.startswith("refused: task")
    assert bench.engine.wishes == {}


def test_retry_ends_the_back_off_of_a_task(bench: Bench):
    bench.turn(joined(), submitted(task("t1", retry=Retry.ANY)))
    assert bench.dispatched(reclaimed("t1", reason=Reason.RUN_FAILED)) == []
    assert bench.dispatched(RetryRequested("t1", "fixed", "ann")) == [("t1", "w1")]
    assert refusals(bench.turn(RetryRequested("t1", "", ""))) != []


def test_evicted_worker_gives_back_what_it_holds_and_gets_nothing(bench: Bench):
    bench.turn(joined("w1", slots=2))
    bench.turn(submitted("t1"), submitted(task("t2", retry=Retry.NEVER)))
    effects = bench.turn(WorkerEvicted("w1", "it burns", "ann"))
    assert {each.task_id for each in effects if isinstance(each, Retract)} == {"t1", "t2"}
    assert [(each.task_id, each.preempt) for each in effects if isinstance(each, CancelRunning)] == [("t1", True)]
    assert placements(bench.turn(joined("w2"), reclaimed("t1", reason=Reason.PREEMPTED))) == [("t1", "w2")]
    assert bench.dispatched(submitted("t3"), joined("w1", incarnation=2)) == []  # the eviction holds for the name
