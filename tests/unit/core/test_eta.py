"""Estimates of an engine: what is told, when it is told again, when it is judged, and what others pay for it."""

from __future__ import annotations

from random import Random

import pytest
from msgspec import structs

from nexus_sched.core import snapshot
from nexus_sched.core.eta_queue import AWAKE_MS
from nexus_sched.core.predictors.base import Predictor
from nexus_sched.model.answer import EtaAnswer, Unanswered, decode_answer
from nexus_sched.model.effects import Answered, AnyEffect, DeadLetter, Dispatch, Estimated
from nexus_sched.model.eta import NO_ESTIMATE, Eta
from nexus_sched.model.events import QuestionAsked, TaskSubmitted
from nexus_sched.model.outcome import Reason
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.question import AskEta
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Terms
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    finished,
    joined,
    reclaimed,
    submitted,
    task,
)
from nexus_sched.units import NS_PER_MS

RUN_MS, P80_MS, P95_MS = 100.0, 120.0, 150.0
TRANSIT_MS = EngineSettings().round_trip_ms / 2.0


def known(_: Task) -> TaskPrediction:
    return TaskPrediction(RUN_MS, RUN_MS, P80_MS, P95_MS, 0.7, "told", 9, "told", 1, 80.0, 130.0)


def asking(task_id: str, *, now_ms: int = 0, deadline_ms: int = 0, strict: bool = False, eta: bool = True):
    terms = Terms(eta=eta, deadline_at_ms=now_ms + deadline_ms if deadline_ms else 0, deadline_strict=strict)
    return submitted(structs.replace(task(task_id, arrived_at_ms=now_ms), asks=terms))


def bench(answer=known, **settings: object) -> Bench:
    told: Predictor = ToldPredictor(answer)
    return Bench(EngineSettings(predictor="told", prefetch=1, prefetch_reach=1e6, **settings), told)


def told(effects: list[AnyEffect]) -> dict[str, Eta]:
    return {each.task_id: each.eta for each in effects if isinstance(each, Estimated)}


def spans(eta: Eta) -> tuple[float, ...]:
    return (
        eta.start_p50_ms,
        eta.start_p80_ms,
        eta.start_p95_ms,
        eta.finish_p50_ms,
        eta.finish_p80_ms,
        eta.finish_p95_ms,
    )


# -- what is told


def test_task_on_a_free_slot_starts_now_and_runs_as_predicted():
    table = bench()
    eta = told(table.turn(joined("w1"), asking("a")))["a"]
    assert spans(eta) == pytest.approx((*[TRANSIT_MS] * 3, *(TRANSIT_MS + each for each in (RUN_MS, P80_MS, P95_MS))))
    assert (eta.at_ms, eta.confidence, eta.basis, eta.on_time) == (0, 0.7, "told", -1.0)


def test_task_behind_another_waits_for_what_is_left_of_it():
    table = bench()
    table.turn(joined("w1"), submitted("first"))
    eta = told(table.turn(asking("second"), after_ms=30))["second"]
    assert eta.start_p50_ms == pytest.approx(RUN_MS - 30 + TRANSIT_MS)
    assert eta.finish_p50_ms == pytest.approx(2 * RUN_MS - 30 + TRANSIT_MS)
    assert eta.start_p50_ms < eta.start_p80_ms < eta.start_p95_ms
    assert eta.finish_p95_ms - eta.finish_p50_ms < 2 * (P95_MS - RUN_MS), "spreads of two runs do not simply add up"


def test_waiting_task_waits_for_what_is_before_it():
    table = bench()
    table.turn(joined("w1"), *(submitted(f"t{number}") for number in range(12)))
    eta = told(table.turn(asking("last", now_ms=20), after_ms=20))["last"]
    assert table.engine.backlog.ready == 11
    assert eta.start_p50_ms == pytest.approx(10 * RUN_MS, rel=0.05)
    assert eta.finish_p50_ms == pytest.approx(11 * RUN_MS, rel=0.05)


def test_unknown_type_has_no_estimate_and_no_number():
    table = Bench()
    eta = told(table.turn(joined("w1"), asking("a")))["a"]
    assert (spans(eta), eta.basis, eta.confidence) == ((-1.0,) * 6, NO_ESTIMATE, 0.0)


def test_runs_of_other_types_are_nobodys_estimate_but_a_hint_is():
    table = Bench(EngineSettings(predictor="learned"))
    table.turn(joined("w1"), submitted(task("a", "mail.send")))
    table.turn(finished("a"), after_ms=100)
    strange = TaskSubmitted(structs.replace(task("b", "mail.read"), asks=Terms(eta=True)), "1-0")
    hinted = TaskSubmitted(structs.replace(task("c", "mail.sort", hint_ms=50.0), asks=Terms(eta=True)), "2-0")
    etas = told(table.turn(strange, hinted))
    assert not etas["b"].known
    assert etas["c"].known
    assert etas["c"].basis == "hint"


def test_deadline_is_told_with_its_probability():
    table = bench()
    events = [joined("w1", slots=3)]
    for task_id, deadline_ms in (("tight", RUN_MS), ("even", RUN_MS + TRANSIT_MS), ("loose", 10 * RUN_MS)):
        events.append(asking(task_id, deadline_ms=round(deadline_ms)))
    etas = told(table.turn(*events))
    assert etas["tight"].on_time < etas["even"].on_time == pytest.approx(0.5)
    assert etas["loose"].on_time == 1.0


# -- strict deadlines


def test_hopeless_strict_deadline_is_refused_with_what_was_expected():
    table = bench()
    effects = table.turn(joined("w1"), asking("a", deadline_ms=20, strict=True, eta=False))
    (letter,) = effects
    assert isinstance(letter, DeadLetter)
    assert (letter.task_id, letter.reason, letter.stream) == ("a", Reason.DEADLINE, "q:5")
    assert "0.020 s are left" in letter.detail
    assert "0.101 s or more" in letter.detail
    assert not table.engine.tasks
    assert len(table.engine.backlog) == 0


def test_strict_deadline_that_may_be_met_is_tried_and_a_lax_one_always():
    table = bench()
    tries = [asking("a", deadline_ms=110, strict=True), asking("b", deadline_ms=20, strict=False)]
    effects = table.turn(joined("w1", slots=2), *tries)
    assert {each.decision.task_id for each in effects if isinstance(each, Dispatch)} == {"a", "b"}
    assert told(effects)["b"].on_time < 0.05


def test_strict_deadline_behind_a_long_queue_is_refused():
    table = bench()
    table.turn(joined("w1"), *(submitted(f"t{number}") for number in range(50)))
    effects = table.turn(asking("a", deadline_ms=500, strict=True))
    assert [each.reason for each in effects if isinstance(each, DeadLetter)] == [Reason.DEADLINE]
    assert told(effects) == {}


# -- told again


def test_placing_a_task_that_waited_tells_it_only_if_its_end_moved():
    table = bench()
    table.turn(joined("w1"), submitted("t0"), submitted("t1"), submitted("t2"), asking("a"))
    assert told(table.turn(finished("t0", run_ms=100.0), after_ms=100)) == {}
    moved = told(table.turn(joined("w2"), joined("w3"), after_ms=1))
    assert moved["a"].finish_p50_ms < 0.75 * 3 * RUN_MS


def test_overdue_task_is_told_again():
    table = bench()
    table.turn(joined("w1"), asking("a"))
    assert told(table.turn(after_ms=60)) == {}
    late = told(table.turn(after_ms=90))["a"]
    assert (late.at_ms, late.start_p50_ms) == (150, 0.0)
    assert 5.0 < late.finish_p50_ms < 75.0, "it is longer than nineteen of twenty such runs"


def test_task_that_came_back_is_told_again():
    table = bench()
    table.turn(joined("w1"), joined("w2"), asking("a"), submitted("b"))
    back = told(table.turn(reclaimed("a", started=False, reason=Reason.RETRACTED), after_ms=90))["a"]
    assert back.at_ms + back.finish_p50_ms > 1.5 * RUN_MS


def test_known_type_is_told_to_a_task_that_had_no_estimate():
    table = Bench(EngineSettings(predictor="ema", prefetch=0))
    first = told(table.turn(joined("w1"), submitted("t"), asking("a")))
    assert not first["a"].known
    again = told(table.turn(finished("t"), after_ms=100))
    assert again["a"].known


def test_a_flood_is_told_over_several_turns_and_survives_a_restart():
    table = bench()
    first = told(table.turn(joined("w1"), *(asking(f"t{number}") for number in range(400))))
    assert len(first) == 256
    assert table.engine.ready
    twin = snapshot.restore(snapshot.take(table.engine), {"told": lambda _: ToldPredictor(known)})
    second = table.turn()
    assert twin.handle([], table.now_ms * NS_PER_MS) == second
    assert set(first) | set(told(second)) == {f"t{number}" for number in range(400)}


# -- judged


def test_ends_are_counted_and_the_share_travels_with_the_next_estimate():
    table = bench()
    table.turn(joined("w1", slots=9), asking("right"), asking("wrong"), submitted("silent"))
    table.turn(finished("right"), after_ms=105)
    table.turn(finished("wrong"), finished("silent"), after_ms=300)
    counters = table.engine.counters
    assert (counters["etas"], counters["etas_within"]) == (2, 1)
    assert told(table.turn(asking("next")))["next"].recent_within == pytest.approx(0.5)


def test_task_without_an_estimate_is_not_judged():
    table = Bench()
    table.turn(joined("w1"), asking("a"))
    table.turn(finished("a"), after_ms=100)
    assert table.engine.counters["etas"] == 0
    assert table.engine.etas.told == {}


def test_p80_of_many_tasks_covers_four_of_five():
    random = Random(29)
    table = bench()
    table.turn(*(joined(f"w{number}") for number in range(4)))
    covered = []
    for number in range(1_500):
        now_ms = table.now_ms
        effects = table.turn(asking(f"t{number}", now_ms=now_ms))
        (worker,) = [each.decision.worker for each in effects if isinstance(each, Dispatch)]
        run_ms = round(RUN_MS * random.lognormvariate(0.0, 0.5))  # far wider than predicted
        table.turn(finished(f"t{number}", worker, run_ms=run_ms), after_ms=run_ms + 1)
        covered.append(run_ms + 1 <= told(effects)[f"t{number}"].finish_p80_ms)
    assert 0.77 <= sum(covered[500:]) / 1_000 <= 0.83


# -- asked


def test_any_live_task_can_be_asked_for():
    table = bench()
    table.turn(joined("w1"), submitted("placed"), submitted("behind"), submitted("waits"))
    questions = [QuestionAsked(name, AskEta(name)) for name in ("placed", "waits", "nobody")]
    effects = table.turn(*questions, after_ms=10)
    answers = {each.reply: decode_answer(each.blob) for each in effects if isinstance(each, Answered)}
    placed, waits = answers["placed"], answers["waits"]
    assert isinstance(placed, EtaAnswer)
    assert isinstance(waits, EtaAnswer)
    assert (placed.state, placed.worker, placed.eta["finish_p50_ms"]) == ("placed", "w1", RUN_MS - 10)
    assert (waits.state, waits.worker) == ("waiting", "")
    assert Eta(**waits.eta).known
    assert isinstance(answers["nobody"], Unanswered)
    assert told(effects) == {}


# -- costs, and what is kept


def test_nobody_listens_unless_somebody_asks_and_for_a_minute_after():
    table = bench()
    table.turn(joined("w1"), submitted("t0"), submitted("t1"))
    engine = table.engine
    assert engine.backlog.listener is None
    table.turn(asking("a"))
    assert engine.backlog.listener is engine.etas.queue
    table.turn(after_ms=AWAKE_MS)
    assert engine.backlog.listener is engine.etas.queue
    table.turn(after_ms=1)
    assert engine.backlog.listener is None


def test_estimates_of_tasks_that_ended_otherwise_are_swept_out():
    table = bench()
    table.turn(joined("w1", slots=4_000))
    for number in range(1_300):
        table.turn(asking(f"t{number}"))
        table.engine.forget(table.engine.tasks[f"t{number}"])
    assert len(table.engine.etas.told) < 1_100


def test_restored_engine_tells_the_same_to_the_bit():
    random = Random(31)
    table = Bench(EngineSettings(predictor="learned"))
    table.turn(*(joined(f"w{number}", slots=1 + number % 2) for number in range(3)))
    twin = None
    running: list[tuple[str, str, int]] = []
    for number in range(300):
        now_ms = table.now_ms
        events = [asking(f"t{number}-{each}", now_ms=now_ms, eta=random.random() < 0.7) for each in range(2)]
        for _ in range(min(len(running), random.randrange(4))):
            task_id, worker, attempt = running.pop(random.randrange(len(running)))
            events.append(finished(task_id, worker, attempt=attempt, run_ms=random.lognormvariate(4.0, 0.4)))
        effects = table.turn(*events, after_ms=random.choice((0, 10, 60)))
        if twin is not None:
            assert twin.handle(events, table.now_ms * NS_PER_MS) == effects
            assert twin.digest() == table.engine.digest()
        running += [
            (each.decision.task_id, each.decision.worker, each.decision.attempt)
            for each in effects
            if isinstance(each, Dispatch)
        ]
        if number % 40 == 7:
            blob = snapshot.take(table.engine)
            twin = snapshot.restore(blob, PREDICTORS)
            assert snapshot.take(twin) == blob
            assert twin.digest() == table.engine.digest()
    assert table.engine.counters["etas"] > 100
