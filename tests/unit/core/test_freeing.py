"""When a worker will be free, and what is said of it to who asks."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.freeing import LOOK_MAX, free_in, left_ms
from nexus_sched.model.answer import FreeIn, Unanswered, WorkerAnswer, decode_answer
from nexus_sched.model.effects import Answered
from nexus_sched.model.events import QuestionAsked, WorkerCordoned, WorkerSuspected, WorkerTripped
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.question import AskWorker
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.worker import WorkerStanding
from nexus_sched.testing.builders import Bench, ToldPredictor, draining, finished, joined, prediction, submitted, task


def bench(slots: int = 1, p50_ms: float = 100.0, p95_ms: float = 150.0, *, prefetch: int = 5) -> Bench:
    told = ToldPredictor(lambda _: TaskPrediction(p50_ms, p50_ms, p50_ms, p95_ms, 1.0, "told", 9, "told", 1))
    here = Bench(EngineSettings(predictor="told", prefetch=prefetch, prefetch_reach=1e6), told)
    here.turn(joined("w1", slots=slots))
    return here


def free(here: Bench) -> FreeIn | None:
    return free_in(here.engine.roster.by_name["w1"], here.now_ms)


def ask(here: Bench, worker: str = "w1", *events: object) -> WorkerAnswer | Unanswered:
    effects = here.turn(*events, QuestionAsked("reply", AskWorker(worker)))
    (answered,) = (each for each in effects if isinstance(each, Answered))
    assert answered.reply == "reply"
    return decode_answer(answered.blob)


def test_idle_worker_is_free_at_once():
    assert free(bench()) == FreeIn(0.0, 0.0)


def test_running_task_takes_what_is_left_of_it():
    here = bench()
    here.turn(submitted("t1"))
    assert free(here) == FreeIn(100.0, 150.0)
    here.turn(after_ms=60)
    assert free(here) == FreeIn(40.0, 90.0)


def test_overdue_task_takes_half_of_what_has_passed():
    here = bench()
    here.turn(submitted("t1"))
    here.turn(after_ms=400)
    assert free(here) == FreeIn(200.0, 400.0)


def test_estimate_never_ends_before_it_gets_worse():
    here = bench()
    here.turn(submitted("t1"))
    for _ in range(50):
        here.turn(after_ms=17)
        estimate = free(here)
        assert estimate is not None
        assert 0.0 < estimate.p50_ms <= estimate.p95_ms


def test_what_waits_follows_and_its_spread_adds_up_by_squares():
    here = bench()
    here.turn(*(submitted(f"t{number}") for number in range(4)))
    assert free(here) == FreeIn(400.0, 400.0 + 50.0 * 2.0)


def test_slots_share_what_waits():
    here = bench(slots=2)
    here.turn(*(submitted(f"t{number}") for number in range(5)))
    estimate = free(here)
    assert estimate is not None
    assert estimate.p50_ms == 300.0


def test_task_without_a_prediction_leaves_it_open():
    here = Bench()
    here.turn(joined("w1"), submitted("t1"))
    assert free(here) is None
    assert left_ms(here.engine.tasks["t1"], here.now_ms) is None


def test_answer_tells_everything_of_a_worker():
    here = bench(slots=1)
    here.turn(submitted(task("t1", "kind")), submitted("t2"), submitted("t3"))
    here.turn(after_ms=130)
    answer = ask(here)
    assert isinstance(answer, WorkerAnswer)
    assert (answer.worker, answer.at_ms, answer.standing, answer.slots) == ("w1", 130, WorkerStanding.ACCEPTING, 1)
    assert (answer.in_flight, answer.credit, answer.factor, answer.breaker.state) == (3, 6, 1.0, "closed")
    assert [(each.task, each.running, each.overdue, each.elapsed_ms) for each in answer.tasks] == [
        ("t1", True, True, 130.0),
        ("t2", False, False, 0.0),
        ("t3", False, False, 0.0),
    ]
    assert [each.left_ms for each in answer.tasks] == [65.0, 100.0, 100.0]
    assert answer.free_in_ms is not None
    assert answer.free_in_ms.p50_ms == 265.0


def test_answer_sees_what_its_own_turn_did():
    here = bench()
    answer = ask(here, "w1", submitted("t1"))
    assert isinstance(answer, WorkerAnswer)
    assert [each.task for each in answer.tasks] == ["t1"]


@pytest.mark.parametrize(
    ("event", "standing"),
    [
        (draining("w1"), WorkerStanding.DRAINING),
        (WorkerCordoned("w1", True, "disk", "me"), WorkerStanding.DRAINING),
        (WorkerCordoned("w1", False, "disk", "me"), WorkerStanding.CORDONED),
        (WorkerSuspected("w1"), WorkerStanding.SUSPECT),
        (WorkerTripped("w1", "disk", "me"), WorkerStanding.BROKEN),
    ],
)
def test_answer_tells_where_it_stands(event: object, standing: WorkerStanding):
    answer = ask(bench(), "w1", event)
    assert isinstance(answer, WorkerAnswer)
    assert answer.standing is standing
    assert answer.standing_reason == ("disk" if isinstance(event, WorkerCordoned) else "")


def test_answer_tells_the_story_of_the_breaker():
    here = bench()
    here.turn(joined("w2"))
    here.turn(WorkerTripped("w1", "smoke", "me"), after_ms=10)
    here.turn(after_ms=30_000)
    answer = ask(here)
    assert isinstance(answer, WorkerAnswer)
    assert answer.breaker.state == "half-open"
    assert answer.breaker.history == ((10, "open", "smoke"), (30_010, "half-open", "its time is over"))


def test_nobody_has_no_answer():
    answer = ask(bench(), "nobody")
    assert isinstance(answer, Unanswered)
    assert "nobody" in answer.why


def test_questions_change_nothing():
    asked, silent = bench(), bench()
    for here in (asked, silent):
        here.turn(submitted("t1"), submitted("t2"))
    ask(asked)
    silent.turn()
    assert snapshot.take(asked.engine) == snapshot.take(silent.engine)
    assert asked.turn(finished("t1")) == silent.turn(finished("t1"))


def wait_ms(here: Bench) -> float:
    worker = here.engine.roster.by_name["w1"]
    return here.engine.roster.table.wait_ms(worker.row)


def test_slot_is_free_when_the_first_of_several_runs_ends():
    runs_ms = {"long": 900.0, "short": 50.0, "next": 30.0}
    here = Bench(
        EngineSettings(predictor="told", prefetch=5, prefetch_reach=1e6),
        ToldPredictor(lambda task: prediction(runs_ms[task.id])),
    )
    here.turn(joined("w1", slots=2), submitted("long"))
    assert wait_ms(here) == 0.0
    here.turn(submitted("short"), after_ms=10)
    assert wait_ms(here) == 50.0
    here.turn(after_ms=20)
    assert wait_ms(here) == 30.0
    here.turn(submitted("next"))
    assert wait_ms(here) == 60.0, "the short run has 30 ms left, the task behind it takes 30"
    here.turn(finished("long", "w1"))
    assert wait_ms(here) == 30.0, "what waited has begun, and both have 30 ms left"


def test_wait_behind_an_overdue_run_is_half_of_what_has_passed():
    here = bench()
    here.turn(submitted("t1"))
    here.turn(after_ms=400)
    assert wait_ms(here) == pytest.approx(200.0, abs=1.0)


def test_wait_is_longer_where_others_use_the_machine():
    here = bench()
    here.turn(submitted("t1"))
    here.turn(after_ms=20)
    roster = here.engine.roster
    roster.take_load(roster.by_name["w1"], 2.0, 1, 0.0, here.now_ms)
    share = roster.table.share(roster.by_name["w1"].row)
    assert share < 1.0
    assert wait_ms(here) == pytest.approx(80.0 / share)


def test_slots_of_a_long_inbox_become_free_at_the_mean_rate():
    here = bench(slots=4, prefetch=200)
    here.turn(*(submitted(f"t{number}") for number in range(LOOK_MAX)))
    looked_at_ms = wait_ms(here)
    here.turn(submitted("one more"))
    assert wait_ms(here) == pytest.approx(looked_at_ms, rel=0.05)
