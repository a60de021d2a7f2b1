"""The ladder: predictive, the configured fallback, round robin; and what counts as a failure on the way."""

from __future__ import annotations

import math
from types import SimpleNamespace

import msgspec
import numpy
import pytest

from nexus_sched.core.breaker import BreakerState
from nexus_sched.errors import KernelError
from nexus_sched.model.journal import FORMAT, Turn, decode_turn, encode_turn
from nexus_sched.model.settings import LEAST_OUTSTANDING, PREDICTIVE, ROUND_ROBIN, SHADOW, EngineSettings
from nexus_sched.testing.builders import Bench, ToldPredictor, finished, joined, prediction, raising, submitted, task


def settings(**changes) -> EngineSettings:
    return EngineSettings(predictor="told", **changes)


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
    bench.engine.roster.learn_factor(bench.engine.roster.by_name["fast"], 50.0, 100.0)
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
