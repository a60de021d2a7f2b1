"""Why a task waits: every tier, the particulars of each reason, and why not a certain worker."""

from __future__ import annotations

import msgspec
import pytest

from nexus_sched.core import snapshot
from nexus_sched.model.answer import FOR_CAPACITY, ITS_TURN, MISCONFIGURED, Unanswered, WhyAnswer, decode_answer
from nexus_sched.model.conditions import conditions_of
from nexus_sched.model.effects import Answered
from nexus_sched.model.events import (
    AnyEvent,
    CancelRequested,
    QuestionAsked,
    WorkerCordoned,
    WorkerJoined,
    WorkerSuspected,
    WorkerTripped,
)
from nexus_sched.model.outcome import Reason
from nexus_sched.model.question import AskWhy
from nexus_sched.model.settings import EngineSettings, Limit
from nexus_sched.model.task import Retry
from nexus_sched.model.terms import Needs, Terms
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    draining,
    joined,
    prediction,
    reclaimed,
    submitted,
    task,
)


def bench(mean_ms: float = 1_000.0, **settings: object) -> Bench:
    told = ToldPredictor(lambda _: prediction(mean_ms))
    return Bench(EngineSettings(predictor="told", prefetch=0, **settings), told)


def asking(task_id: str = "t1", task_type: str = "kind", **terms: object) -> AnyEvent:
    return submitted(task(task_id, task_type, asks=Terms(**terms)))


def offering(name: str = "w1", **offer: object) -> WorkerJoined:
    return msgspec.structs.replace(joined(name), **offer)


def told(here: Bench, task_id: str = "t1", worker: str = "", *events: AnyEvent) -> WhyAnswer:
    effects = here.turn(*events, QuestionAsked("r", AskWhy(task_id, worker)))
    (answered,) = (each for each in effects if isinstance(each, Answered))
    answer = decode_answer(answered.blob)
    assert isinstance(answer, WhyAnswer), answer
    return answer


GPU = Needs(conditions_of("gpu"))
IN_EUROPE = Needs(conditions_of("zone = eu"))
MEMORY = Needs(resources=(("memory", 4.0),))


# -- misconfigured ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (GPU, "it asks for gpu, but no worker has a label gpu"),
        (IN_EUROPE, "it asks for zone = eu, but zone is us in this pool"),
        (MEMORY, "it asks for 4 of memory, but the most that a worker offers is 2"),
        (Needs(resources=(("disk", 3.0 * 2**30),)), "it asks for 3 GiB of disk, but no worker offers any"),
    ],
)
def test_demand_that_nobody_can_meet_is_misconfigured_and_named(needs: Needs, words: str):
    here = bench()
    here.turn(offering("w1", labels={"zone": "us"}, resources={"memory": 2.0}), asking(needs=needs))
    answer = told(here)
    assert answer.tier == MISCONFIGURED
    assert answer.reason == f"no worker could ever run it: {words}"
    assert answer.remedies[0].startswith("a worker with ")
    assert answer.state == "waiting"


def test_taint_of_every_worker_that_is_not_tolerated_is_misconfigured():
    here = bench()
    here.turn(offering("w1", taints=("spot",)), submitted("t1"))
    answer = told(here)
    assert (answer.tier, answer.funnel) == (MISCONFIGURED, {"taints": 1})
    assert "every worker is tainted: spot" in answer.reason


def test_demands_that_only_several_workers_meet_together_are_misconfigured():
    here = bench()
    needs = Needs(conditions_of(["gpu", "zone = eu"]))
    here.turn(offering("w1", labels={"gpu": ""}), offering("w2", labels={"zone": "eu"}), asking(needs=needs))
    answer = told(here)
    assert answer.tier == MISCONFIGURED
    assert "each is met by some worker, but no worker meets all of them" in answer.reason


# -- waiting for capacity --------------------------------------------------------------------------------


def test_no_worker_at_all_is_a_lack_of_capacity():
    here = bench()
    here.turn(submitted("t1"))
    answer = told(here)
    assert (answer.tier, answer.reason) == (FOR_CAPACITY, "no worker is registered")


def test_next_in_line_and_everybody_busy_says_when_the_first_run_ends():
    here = bench()
    here.turn(joined("w1"), joined("w2"), submitted("t1"), submitted("t2"), submitted("t3"))
    here.turn(after_ms=400)
    answer = told(here, "t3")
    assert answer.tier == FOR_CAPACITY
    assert answer.reason == (
        "it is next in line, but no worker that could run it takes tasks now: 2 busy; "
        "the first run there is expected to end in 600 ms"
    )
    assert answer.funnel == {"no credit left": 2}
    assert answer.eta["start_p50_ms"] >= 0.0


@pytest.mark.parametrize(
    ("event", "words", "remedy"),
    [
        (draining("w1"), ": 1 draining", "workers resume"),
        (WorkerCordoned("w1", False, "disk", "ann"), ": 1 cordoned", "workers resume"),
        (WorkerSuspected("w1"), ": 1 silent", "silent"),
        (WorkerTripped("w1", "smoke", "ann"), ": 1 with an open breaker", "workers get"),
    ],
    ids=("draining", "cordoned", "suspect", "broken"),
)
def test_worker_that_takes_nothing_is_named_with_what_to_do(event: AnyEvent, words: str, remedy: str):
    here = bench()
    here.turn(joined("w1"), event)
    here.turn(submitted("t1"))
    answer = told(here)
    assert answer.tier == FOR_CAPACITY
    assert words in answer.reason
    assert remedy in answer.remedies[0]


def test_resources_in_use_are_a_lack_of_capacity():
    here = bench()
    here.turn(
        offering("w1", slots=4, resources={"memory": 6.0}), asking("t1", needs=MEMORY), asking("t2", needs=MEMORY)
    )
    answer = told(here, "t2", "w1")
    assert answer.tier == FOR_CAPACITY
    assert "1 without enough left of what it asks for" in answer.reason
    assert answer.why_not == "the task asks for 4 of memory, and 2 is left"


def test_limit_of_tasks_at_once_is_named_with_its_rule():
    here = bench(limits=(Limit("key", "*", concurrency=1),))
    here.turn(joined("w1", slots=4), asking("t1", key="acme"), asking("t2", key="acme"))
    answer = told(here, "t2")
    assert answer.tier == FOR_CAPACITY
    assert answer.reason == "1 tasks of key 'acme' are handed out, and no more than 1 may be"
    assert "a higher limit for key '*'" in answer.remedies[1]


def test_limit_of_starts_over_time_is_named_and_asking_changes_no_bucket():
    here = bench(limits=(Limit("type", "kind", rate_per_s=2.0),))
    here.turn(joined("w1", slots=4), submitted("t1"), submitted("t2"))
    before = here.engine.backlog.limits.snapshot()
    answer = told(here, "t2")
    assert (answer.tier, "2 times a second" in answer.reason) == (FOR_CAPACITY, True)
    assert here.engine.backlog.limits.snapshot() == before


# -- waiting its turn ------------------------------------------------------------------------------------


def test_work_that_is_before_it_is_counted():
    here = bench()
    here.turn(joined("w1"), *(submitted(f"t{number}") for number in range(4)))
    answer = told(here, "t3")
    assert (answer.tier, answer.ahead) == (ITS_TURN, 2)
    assert answer.ahead_ms == pytest.approx(2_000.0, rel=0.1)
    assert answer.reason.startswith("2 tasks with 2.0 s of predicted work are before it in the order")
    assert told(here, "t1").tier == FOR_CAPACITY


def test_delay_of_the_submitter_is_told_with_what_is_left_of_it():
    here = bench()
    here.turn(joined("w1"), asking(not_before_ms=5_000))
    here.turn(after_ms=2_000)
    answer = told(here)
    assert (answer.tier, answer.reason) == (ITS_TURN, "it was submitted with a delay, and may start in 3.0 s")


def test_back_off_after_a_failed_run_is_told():
    here = bench(backoff_ms=1_000.0)
    here.turn(joined("w1"), submitted(task("t1", retry=Retry.ANY)))
    here.turn(reclaimed("t1", "w1", reason=Reason.RUN_FAILED))
    answer = told(here)
    assert answer.tier == ITS_TURN
    assert answer.reason.startswith("it backs off after 1 failed run, and is tried again in ")


def test_share_of_the_tenant_is_told_where_tenants_share():
    here = bench()
    here.turn(joined("w1"), *(asking(f"a{number}", tenant="a") for number in range(3)), asking("b0", tenant="b"))
    answer = told(here, "a2")
    assert answer.tier == ITS_TURN
    assert "tenants share: tenant 'a' has a turn when its share is due" in answer.reason


# -- placed, gone, and why not ---------------------------------------------------------------------------


def test_placed_task_names_its_worker_and_its_decision():
    here = bench()
    here.turn(joined("w1"), submitted("t1"))
    answer = told(here, "t1", "w1")
    assert (answer.state, answer.worker, answer.attempt) == ("placed", "w1", 1)
    assert answer.decision == f"{here.engine.seq - 1}-0"
    assert (answer.tier, answer.why_not) == ("", "it is there")


def test_unknown_task_is_not_answered():
    here = bench()
    effects = here.turn(QuestionAsked("r", AskWhy("nobody")))
    (answered,) = (each for each in effects if isinstance(each, Answered))
    assert isinstance(decode_answer(answered.blob), Unanswered)


@pytest.mark.parametrize(
    ("needs", "worker", "words"),
    [
        (Needs(), "w9", "no worker 'w9' is registered"),
        (GPU, "w1", "the task requires gpu, and the worker has no such label"),
        (IN_EUROPE, "w1", "the task requires zone = eu, and the worker has zone = us"),
        (MEMORY, "w1", "the task asks for 4 of memory, and the worker has 2 in all"),
        (Needs(resources=(("disk", 1.0),)), "w1", "the task asks for 1 of disk, and the worker offers none"),
        (Needs(), "tainted", "the task does not tolerate its taint 'spot'"),
        (Needs(), "cordoned", "it is cordoned, by ann: disk"),
        (Needs(), "full", "it holds 1 tasks, and may hold 1"),
        (Needs(), "suspect", "it was not heard of for too long; the next heartbeat brings it back"),
    ],
)
def test_why_not_gives_the_particulars(needs: Needs, worker: str, words: str):
    here = bench()
    here.turn(joined("full"), submitted("t0"))
    here.turn(
        *(offering("w1", labels={"zone": "us"}, resources={"memory": 2.0}), offering("tainted", taints=("spot",))),
        *(joined("cordoned"), WorkerCordoned("cordoned", False, "disk", "ann")),
        *(joined("suspect"), WorkerSuspected("suspect")),
        WorkerCordoned("w1", False, "", ""),
        asking("t1", needs=needs),
    )
    assert told(here, "t1", worker).why_not == words


def test_why_not_knows_workers_that_are_not_sent_more_than_they_run():
    told_predictor = ToldPredictor(lambda _: prediction(10_000.0))
    here = Bench(EngineSettings(predictor="told"), told_predictor)
    here.turn(joined("w1"), submitted("t1"), submitted("t2"))
    answer = told(here, "t2", "w1")
    assert answer.why_not == "its slots (1) are busy, and it is sent more only when one is about to be free"
    assert (answer.tier, answer.funnel) == (FOR_CAPACITY, {"open": 1})
    assert "takes tasks now: 1 busy; the first run there is expected to end in" in answer.reason


def test_worker_held_for_another_task_is_told():
    here = bench(reserve_after_ms=0.0)
    large, small = Needs(resources=(("memory", 8.0),)), Needs(resources=(("memory", 2.0),))
    here.turn(offering("w1", slots=8, resources={"memory": 8.0}), asking("small", needs=small))
    here.turn(asking("large", needs=large))
    here.turn(after_ms=1_000)
    here.turn(after_ms=1_000)
    answer = told(here, "next", "w1", asking("next", needs=small))
    assert answer.why_not == "it is held free for task large, which others kept overtaking"
    assert told(here, "large").tier == FOR_CAPACITY


def test_why_not_knows_open_breakers():
    here = bench()
    here.turn(joined("w1"), WorkerTripped("w1", "smoke", "ann"))
    here.turn(submitted("t1"))
    assert told(here, "t1", "w1").why_not == "its breaker is open: smoke; it is tried again in 30.0 s"


def test_worker_that_the_task_came_back_from_may_still_take_it():
    here = bench(backoff_ms=10_000.0)
    here.turn(joined("w1"), submitted(task("t1", retry=Retry.ANY)))
    here.turn(reclaimed("t1", "w1", reason=Reason.RUN_FAILED))
    assert told(here, "t1", "w1").why_not.startswith("the task came back from there")


def test_answers_of_a_restored_engine_are_the_same():
    here = bench()
    here.turn(joined("w1"), *(submitted(f"t{number}") for number in range(4)), CancelRequested("t2"))
    told(here, "t3")
    factories = {"told": lambda _: here.engine.forecasts.active, **PREDICTORS}
    twin = Bench(here.engine.settings, ToldPredictor(lambda _: prediction(1_000.0)))
    twin.engine = snapshot.restore(snapshot.take(here.engine), factories)
    assert told(here, "t3") == told(twin, "t3")
