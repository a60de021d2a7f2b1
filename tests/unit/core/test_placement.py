"""The ladder: predictive, the configured fallback, round robin; and what counts as a failure on the way."""

from __future__ import annotations

import math
from types import SimpleNamespace

import msgspec
import numpy
import pytest

from nexus_sched.core.breaker import BreakerState
from nexus_sched.errors import KernelError
from nexus_sched.model.bill import bill_of
from nexus_sched.model.events import SettingsChanged, WorkerJoined
from nexus_sched.model.journal import FORMAT, Turn, decode_turn, encode_turn
from nexus_sched.model.settings import (
    BALANCE,
    CUSTOM,
    LATENCY,
    LEAST_OUTSTANDING,
    PREDICTIVE,
    ROUND_ROBIN,
    SHADOW,
    EngineSettings,
)
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Condition, Needs, Operator, Terms
from nexus_sched.testing.builders import Bench, ToldPredictor, finished, joined, prediction, raising, submitted, task


def settings(**changes) -> EngineSettings:
    return EngineSettings(predictor="told", prefetch_reach=1e6, **changes)


def policies(effects) -> list[str]:
    return [each.decision.policy for each in effects]


def crowd(count: int = 8, slots: int = 1):
    return [joined(f"w{number}", slots=slots) for number in range(count)]


def test_prediction_places_and_is_told():
    bench = Bench(settings(), ToldPredictor(lambda _: prediction(80.0, 60.0)))
    (dispatch,) = bench.turn(joined("w1"), submitted("t1"))
    decision = dispatch.decision
    assert (decision.policy, decision.predicted_ms, decision.p50_ms, decision.basis) == (PREDICTIVE, 80.0, 60.0, "told")
    assert decision.score_ms == 80.0
    assert bench.engine.roster.table.booked_ms(0) == 80.0


def test_slower_worker_gets_a_proportionally_larger_booking():
    bench = Bench(settings(), ToldPredictor(lambda _: prediction(80.0)))
    bench.turn(joined("w1"))
    bench.engine.roster.by_name["w1"].factor = 2.0
    (dispatch,) = bench.turn(submitted("t1"))
    assert (dispatch.decision.predicted_ms, dispatch.decision.p50_ms) == (160.0, 160.0)


@pytest.mark.parametrize("fallback", [ROUND_ROBIN, LEAST_OUTSTANDING])
def test_no_data_is_no_failure_and_the_fallback_places(fallback: str):
    told = ToldPredictor(lambda _: None)
    bench = Bench(settings(fallback=fallback), told)
    effects = bench.turn(*crowd(), *(submitted(f"t{number}") for number in range(8)))
    assert policies(effects) == [fallback] * 8
    assert bench.engine.forecasts.breaker.failures == 0
    assert told.asked == 16  # when it came in, and when it was placed


def test_failing_predictor_is_asked_exactly_as_often_as_the_threshold_allows():
    told = ToldPredictor(raising)
    bench = Bench(settings(fallback_threshold=3), told)
    effects = bench.turn(*crowd(), *(submitted(f"t{number}") for number in range(8)))
    assert policies(effects) == [ROUND_ROBIN] * 8
    assert told.asked == 3
    assert bench.engine.forecasts.breaker.state(bench.now_ms) is BreakerState.OPEN
    bench.turn(submitted("t9"), after_ms=4_999)
    assert told.asked == 3


def test_half_open_breaker_asks_once_and_opens_anew_or_closes():
    told = ToldPredictor(raising)
    bench = Bench(settings(), told)
    bench.turn(*crowd(), *(submitted(f"t{number}") for number in range(3)))
    bench.turn(submitted("t3"), submitted("t4"), after_ms=5_000)
    assert told.asked == 4
    told.answer = lambda _: prediction(10.0)
    effects = bench.turn(submitted("t5"), after_ms=5_000)
    assert policies(effects) == [PREDICTIVE]
    assert bench.engine.forecasts.breaker.state(bench.now_ms) is BreakerState.CLOSED
    assert bench.engine.forecasts.breaker.failures == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e300, "ten", None])
@pytest.mark.parametrize("field", ["mean_ms", "p50_ms"])
def test_prediction_that_is_no_bounded_number_counts_as_a_failure(value, field: str):
    wrong = msgspec.structs.replace(prediction(10.0), **{field: value})
    told = ToldPredictor(lambda _: wrong)
    bench = Bench(settings(), told)
    effects = bench.turn(*crowd(), *(submitted(f"t{number}") for number in range(4)))
    assert policies(effects) == [ROUND_ROBIN] * 4
    assert (told.asked, bench.engine.forecasts.failures) == (3, 3)


def test_answer_of_another_shape_counts_as_a_failure():
    told = ToldPredictor(lambda _: SimpleNamespace(wrong=1))
    bench = Bench(settings(), told)
    assert policies(bench.turn(joined(), submitted("t1"))) == [ROUND_ROBIN]
    assert bench.engine.forecasts.failures == 2


@pytest.mark.parametrize("number", [numpy.float64(12.0), numpy.float32(12.0), 12])
def test_prediction_of_foreign_numbers_can_be_journaled(number):
    told = ToldPredictor(lambda _: prediction(number))
    bench = Bench(settings(), told)
    effects = bench.turn(joined("w1"), submitted("t1"))
    assert policies(effects) == [PREDICTIVE]
    turn = Turn(FORMAT, 1, 0, 0, [], effects, {})
    assert decode_turn(encode_turn(turn)).effects == effects


def test_only_failures_in_a_row_open_the_breaker_while_tasks_wait():
    told = ToldPredictor(lambda each: raising(each) if each.type == "bad" else prediction(5.0))
    bench = Bench(settings(), told)
    for number in range(20):
        bench.turn(submitted(task(f"t{number}", "bad" if number % 2 else "good")))
    assert bench.engine.forecasts.failures == 10
    assert bench.engine.forecasts.breaker.state(0) is BreakerState.CLOSED


@pytest.mark.parametrize("mode", [SHADOW, PREDICTIVE])
def test_success_closes_the_half_open_breaker_in_any_mode(mode: str):
    told = ToldPredictor(raising)
    bench = Bench(settings(mode=mode), told)
    bench.turn(joined(), *(submitted(f"t{number}") for number in range(3)))
    told.answer = lambda _: prediction(5.0)
    bench.turn(submitted("t9"), after_ms=5_000)
    assert bench.engine.forecasts.breaker.snapshot() == (0, None, 1)


def test_shadow_books_its_predictions_and_lets_round_robin_decide():
    bench = Bench(settings(mode=SHADOW), ToldPredictor(lambda _: prediction(30.0)))
    effects = bench.turn(*crowd(3), *(submitted(f"t{number}") for number in range(3)))
    assert policies(effects) == [ROUND_ROBIN] * 3
    assert [each.decision.predicted_ms for each in effects] == [30.0] * 3
    assert [each.decision.score_ms for each in effects] == [None] * 3
    bench.turn(finished("t0", "w0", run_ms=30.0))
    assert bench.engine.counters["predictions_within"] == 1


def test_round_robin_asks_no_predictor():
    told = ToldPredictor(raising)
    bench = Bench(settings(mode=ROUND_ROBIN), told)
    bench.turn(joined(), submitted("t1"))
    assert told.asked == 0


class BrokenScorer:
    score_ms = math.inf

    def choose(self, *_):
        raise KernelError("broken on purpose")


def test_failing_score_falls_back_and_opens_the_breaker():
    told = ToldPredictor(lambda _: prediction(10.0))
    bench = Bench(settings(prefetch=0), told)
    scoring = bench.engine.placement.scoring
    bench.turn(*crowd())
    whole, scoring._scorer = scoring._scorer, BrokenScorer()
    for number in range(4):  # a prediction between two failing scores must not hide that they fail in a row
        assert policies(bench.turn(submitted(f"t{number}"))) == [ROUND_ROBIN]
    assert bench.engine.forecasts.failures == 3
    assert bench.engine.forecasts.breaker.state(bench.now_ms) is BreakerState.OPEN
    scoring._scorer = whole
    assert policies(bench.turn(submitted("t9"), after_ms=5_000)) == [PREDICTIVE]
    assert bench.engine.forecasts.breaker.state(bench.now_ms) is BreakerState.CLOSED
    assert not bench.engine.forecasts.scoring_failed


def test_free_worker_is_preferred_to_a_faster_one_that_is_busy():
    bench = Bench(settings(), ToldPredictor(lambda _: prediction(100.0)))
    bench.turn(joined("fast"), submitted("t1"))
    fast = bench.engine.roster.by_name["fast"]
    bench.engine.roster.paces.restart(fast, fast.row, 0.5, 100)
    assert bench.dispatched(joined("slow"), submitted("t2")) == [("t2", "slow")]


@pytest.mark.parametrize(
    ("run_ms", "learnable"),
    [(0.0, True), (5.0, True), (math.nan, False), (math.inf, False), (-1.0, False), (1e300, False)],
)
def test_only_bounded_run_times_train(run_ms: float, learnable: bool):
    told = ToldPredictor(lambda _: None)
    bench = Bench(settings(), told)
    bench.turn(joined(), submitted("t1"))
    bench.turn(finished("t1", run_ms=run_ms))
    assert bool(told.learned) is learnable
    assert bench.engine.counters["finished"] == 1


class ByClass(ToldPredictor):
    """Tells classes apart: what it says of a class is in `by_class`. Knows no worker."""

    def __init__(self, **by_class: float) -> None:
        super().__init__(lambda _: prediction(50.0))
        self.by_class = by_class
        self.asked_for: list[tuple[str, ...]] = []

    def predict(self, task, worker=None, worker_class=""):
        return prediction(self.by_class.get(worker_class, 50.0))

    def predict_classes(self, task, classes, means_ms):
        self.asked_for.append(classes)
        for index, name in enumerate(classes):
            means_ms[index] = self.by_class[name]
        return True


def test_each_type_goes_to_the_class_that_is_fast_at_it():
    told = ByClass(blue=90.0, green=30.0)
    bench = Bench(settings(), told)
    bench.turn(joined("b", worker_class="blue"), joined("g", worker_class="green"))
    (dispatch,) = bench.turn(submitted("t1"))
    decision = dispatch.decision
    assert (decision.worker, decision.score_ms, decision.predicted_ms) == ("g", 30.0, 30.0)
    assert bench.engine.tasks["t1"].mean_ms == 30.0
    told.by_class = {"blue": 20.0, "green": 60.0}
    assert bench.dispatched(submitted("t2")) == [("t2", "b")]


def test_only_classes_with_an_open_worker_are_asked_about():
    names = ("one", "two", "three", "four", "five")
    told = ByClass(**dict.fromkeys(names, 10.0))
    bench = Bench(settings(prefetch=0, near_tie_ms=0.0), told)
    bench.turn(*(joined(name, worker_class=name) for name in names))
    bench.turn(submitted("t0"))
    assert told.asked_for == [names]
    told.by_class |= {"four": 5.0, "five": 1.0}
    bench.turn(*(submitted(f"t{number}") for number in range(1, 5)))
    assert [len(each) for each in told.asked_for] == [5, 5, 5, 2, 1]  # fewer than half of them: only those
    assert bench.engine.tasks["t1"].worker == "five"
    assert bench.engine.tasks["t2"].worker == "four"


def test_factor_of_a_worker_is_learned_against_what_was_predicted_for_its_class():
    bench = Bench(settings(), ByClass(blue=90.0, green=30.0))
    bench.turn(joined("b", worker_class="blue"), joined("g", worker_class="green"))
    for number in range(20):
        bench.turn(submitted(f"t{number}"))
        bench.turn(finished(f"t{number}", "g", run_ms=30.0))
    assert bench.engine.roster.by_name["g"].factor == pytest.approx(1.0)
    assert bench.engine.roster.by_name["g"].samples == 20


@pytest.mark.parametrize("mean_ms", [math.nan, math.inf, -1.0])
def test_mean_of_a_class_that_is_no_bounded_number_counts_as_a_failure(mean_ms: float):
    told = ByClass(blue=mean_ms, green=30.0)
    bench = Bench(settings(), told)
    bench.turn(joined("b", worker_class="blue"), joined("g", worker_class="green"))
    assert policies(bench.turn(submitted("t1"))) == [ROUND_ROBIN]
    assert bench.engine.forecasts.failures == 1


def test_predictor_that_fails_for_classes_is_a_failure_and_the_task_is_placed():
    told = ByClass()  # raises KeyError
    bench = Bench(settings(), told)
    bench.turn(joined("b", worker_class="blue"), joined("g", worker_class="green"))
    assert policies(bench.turn(submitted("t1"))) == [PREDICTIVE]  # by what it says without a class
    assert bench.engine.forecasts.failures == 1


def test_shadow_mode_books_what_is_predicted_for_the_class_of_the_worker():
    bench = Bench(settings(mode=SHADOW), ByClass(blue=90.0, green=30.0))
    bench.turn(joined("b", worker_class="blue"), joined("g", worker_class="green"), submitted("t1"), submitted("t2"))
    assert {record.worker: record.mean_ms for record in bench.engine.tasks.values()} == {"b": 90.0, "g": 30.0}


def needing(name: str, *, priority: int = 5, **needs) -> Task:
    return msgspec.structs.replace(task(name, priority=priority), asks=Terms(needs=Needs(**needs)))


def with_labels(name: str, slots: int = 1, taints=(), resources=(), **labels: str) -> WorkerJoined:
    return WorkerJoined(name, 1, slots, "", labels, tuple(taints), dict(resources))


GPU = Condition("gpu", Operator.EXISTS)


@pytest.mark.parametrize("answer", [lambda _: prediction(10.0), lambda _: None], ids=["scored", "without data"])
@pytest.mark.parametrize("fallback", [ROUND_ROBIN, LEAST_OUTSTANDING])
def test_task_goes_only_where_it_may_run_whoever_places_it(answer, fallback: str):
    bench = Bench(settings(fallback=fallback, prefetch=0), ToldPredictor(answer))
    bench.turn(with_labels("plain", 4), with_labels("gpu", 1, gpu="a100"), with_labels("kept", 4, taints=("kept",)))
    wanted = [submitted(needing(f"t{number}", conditions=(GPU,))) for number in range(2)]
    assert bench.dispatched(*wanted) == [("t0", "gpu")]
    assert bench.dispatched(submitted("t2")) == [("t2", "plain")]
    assert bench.dispatched(finished("t0", "gpu")) == [("t1", "gpu")]
    assert bench.dispatched(submitted(needing("t3", tolerates=("kept",)))) == [("t3", "kept")]


def test_resources_in_use_send_a_task_elsewhere_and_come_back_with_the_end():
    bench = Bench(settings(), ToldPredictor(lambda _: prediction(10.0)))
    bench.turn(*(with_labels(name, 8, resources={"memory": 10.0}) for name in ("a", "b")))
    asks = {"resources": (("memory", 6.0),)}
    first = bench.dispatched(*(submitted(needing(f"t{number}", **asks)) for number in range(3)))
    assert sorted(worker for _, worker in first) == ["a", "b"]
    assert bench.dispatched(finished(*first[0])) == [("t2", first[0][1])]


def test_worker_to_avoid_is_taken_only_if_nobody_else_is_open():
    bench = Bench(settings(prefetch=0), ToldPredictor(lambda _: prediction(10.0)))
    bench.turn(joined("w1"), joined("w2"))
    placement = bench.engine.placement
    for _ in range(4):
        assert placement.place(task("t"), 0, ("w1",)).worker.name == "w2"
    bench.turn(submitted("t1"))
    (open_one,) = (worker for worker in bench.engine.roster.ring if not worker.in_flight)
    assert placement.place(task("t"), 0, (open_one.name,)).worker is open_one
    assert placement.place(task("t"), 0, ("gone long ago",)).worker is open_one


def test_fallback_avoids_as_well():
    bench = Bench(settings(prefetch=0), ToldPredictor(lambda _: None))
    bench.turn(joined("w1"), joined("w2"))
    for _ in range(4):
        assert bench.engine.placement.place(task("t"), 0, ("w1",)).worker.name == "w2"


def test_busier_worker_loses_under_balance_though_the_other_one_is_slower():
    fast_but_busy = [joined("fast", slots=4), *(submitted(f"t{number}") for number in range(3))]
    found = {}
    for objective in (LATENCY, BALANCE):
        changes = {"objective": objective, "near_tie_share": 0.0, "near_tie_ms": 0.0, "explore_share": 0.0}
        bench = Bench(settings(**changes), ToldPredictor(lambda _: prediction(10.0)))
        bench.turn(*fast_but_busy)
        bench.turn(joined("slow", slots=4))
        bench.engine.roster.table.set_factor(bench.engine.roster.by_name["slow"].row, 1.2)
        found[objective] = bench.dispatched(submitted("t9"))[0][1]
    assert found == {LATENCY: "fast", BALANCE: "slow"}


def test_weights_are_those_of_the_settings_of_now():
    bench = Bench(settings(), ToldPredictor(lambda _: prediction(10.0)))
    bench.turn(SettingsChanged(settings(objective=CUSTOM, balance_ms=7.0, fit_ms=3.0, wait_weight=1.5), "me"))
    weights = bench.engine.placement.scoring.weights
    assert (weights.balance_ms, weights.fit_ms, weights.wait_weight) == (7.0, 3.0, 1.5)


def test_share_of_decisions_explores_within_a_wider_margin_and_the_task_id_decides_which():
    bench = Bench(settings(explore_share=0.25, near_tie_ms=0.0), ToldPredictor(lambda _: prediction(100.0)))
    bench.turn(joined("best", slots=2), joined("other", slots=2), submitted("t0"))
    roster = bench.engine.roster
    busy = next(worker for worker in roster.ring if worker.in_flight)
    idle = next(worker for worker in roster.ring if not worker.in_flight)
    roster.table.set_factor(idle.row, 1.4)  # beyond a tenth, within a half
    choices = {f"task-{number}": bench.engine.placement.place(task(f"task-{number}"), 0) for number in range(2_000)}
    assert all((choice.worker is idle) is choice.explored for choice in choices.values())
    assert all((choice.worker is busy) is not choice.explored for choice in choices.values())
    share = sum(choice.explored for choice in choices.values()) / len(choices)
    assert 0.2 < share < 0.3
    again = bench.engine.placement.place(task("task-7"), 0)
    assert again.explored is choices["task-7"].explored


def test_task_waits_for_a_faster_worker_only_if_that_is_wanted_and_worth_it():
    found = {}
    for hold in (False, True):
        bench = Bench(settings(hold_for_faster=hold, prefetch=0), ToldPredictor(lambda _: prediction(100.0)))
        bench.turn(joined("fast"), submitted("t0"))
        bench.turn(joined("slow"))
        row = bench.engine.roster.by_name["slow"].row
        bench.engine.roster.table.set_factor(row, 2.5)  # 250 ms there, 200 ms here
        found[hold] = bench.dispatched(submitted("t1"))
        bench.engine.roster.table.set_factor(row, 2.1)
        if hold:
            assert bench.dispatched() == [("t1", "slow")]
    assert found == {False: [("t1", "slow")], True: []}


def test_bill_adds_up_to_the_score_of_the_choice():
    config = settings(objective=CUSTOM, balance_ms=40.0, fit_ms=10.0, transfer_ms_per_mib=3.0, near_tie_ms=0.0)
    bench = Bench(config, ToldPredictor(lambda _: prediction(100.0)))
    bench.turn(*(with_labels(f"w{number}", 2, resources={"cpu": 4.0 + number}, zone="a") for number in range(3)))
    needs = Needs((Condition("zone", Operator.IN, ("a",), 25.0),), (), (("cpu", 1.0),))
    wanted = msgspec.structs.replace(task("t0"), payload_bytes=2**20, asks=Terms(needs=needs, affinity="key"))
    for number in range(6):
        (dispatch,) = bench.turn(submitted(msgspec.structs.replace(wanted, id=f"t{number}")))
    decision = dispatch.decision
    assert decision.why is not None
    bill = bill_of(decision.why)
    assert bill is not None
    chosen = next(row for row in bill.rows if row.worker == decision.worker)
    assert chosen.total_by(bill.weights) == pytest.approx(decision.score_ms, rel=1e-6)
    assert decision.policy == PREDICTIVE


def test_urgent_task_may_take_the_place_of_one_whose_resources_it_gets():
    bench = Bench(settings(), ToldPredictor(lambda _: prediction(10.0)))
    bench.turn(with_labels("w", 1, resources={"memory": 10.0}), submitted(needing("t0", resources=(("memory", 8.0),))))
    placed, could_run = bench.engine.tasks["t0"], bench.engine.placement.could_run
    assert could_run(needing("t1", resources=(("memory", 10.0),)), placed)
    assert not could_run(needing("t1", resources=(("memory", 11.0),)), placed)
    assert not could_run(needing("t1", conditions=(GPU,)), placed)
    bench.engine.roster.by_name["w"].accepting = False
    assert not could_run(task("t1"), placed)
