"""The ladder of prediction, one rung after the other; what is asked of whom, and who hears of the outcome."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy
import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.engine import Engine
from nexus_sched.core.forecasts import PINNED, PINS_MAX
from nexus_sched.core.predictors.base import Predictor, PredictorFactory
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.errors import PredictorUnkept
from nexus_sched.model.effects import Dispatch, Noticed
from nexus_sched.model.events import EpochBegan, EstimatePinned, EstimateUnpinned, PredictorChosen, PredictorOverran
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import PREDICTIVE, ROUND_ROBIN, EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.testing.builders import Bench, ToldPredictor, finished, joined, prediction, raising, submitted, task

TOLD = EngineSettings(predictor="told", prefetch_reach=1e6)


class Candidate(ToldPredictor):
    """A second predictor that does as it is told."""

    name = "candidate"


class Informed(ToldPredictor):
    """Knows workers: on `slow` everything takes three times as long."""

    knows_workers = True

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        said = super().predict(task, worker, worker_class)
        if said is None or worker != "slow":
            return said
        return msgspec.structs.replace(said, mean_ms=3 * said.mean_ms, p50_ms=3 * said.p50_ms)


class Stage(Bench):
    """A bench with several predictors; `decide` sends one more task through and gives what was decided."""

    def __init__(self, *predictors: Predictor, settings: EngineSettings = TOLD, **others: PredictorFactory) -> None:
        self.factories = {each.name: factory_of(each) for each in predictors} | others
        self.engine = Engine(self.factories, settings)
        self.forecasts = self.engine.forecasts
        self.now_ms = 0
        self._count = 0
        self.turn(joined("w1"))

    def decide(self, run_ms: float | None = 100.0, task_type: str = "kind", after_ms: int = 0):
        self._count += 1
        task_id = f"d{self._count}"
        (dispatch,) = self.turn(submitted(task(task_id, task_type)), after_ms=after_ms)
        assert isinstance(dispatch, Dispatch)
        self.effects = []
        if run_ms is not None:
            self.effects = self.turn(finished(task_id, dispatch.decision.worker, run_ms=run_ms))
        return dispatch.decision


def factory_of(predictor: Predictor) -> PredictorFactory:
    return lambda _: predictor


def told(mean_ms: float = 100.0) -> ToldPredictor:
    return ToldPredictor(lambda _: prediction(mean_ms))


def candidate(answer: Callable[[Task], TaskPrediction | None]) -> Candidate:
    return Candidate(answer)


def pin(value_ms: float | None = None, factor: float = 1.0, until_ms: int = 1_000, task_type: str = "kind"):
    return EstimatePinned(task_type, value_ms, factor, until_ms, "people know better", "ada")


# -- the ladder


def test_pinned_estimate_wins_and_is_told():
    stage = Stage(told(100.0), ema=EmaPredictor)
    stage.turn(pin(value_ms=500.0))
    decision = stage.decide()
    assert (decision.policy, decision.basis) == (PREDICTIVE, PINNED)
    assert (decision.predicted_ms, decision.p50_ms) == (500.0, 500.0)
    assert stage.decide(task_type="other").predicted_ms == 100.0


def test_pinned_factor_scales_and_needs_something_to_scale():
    stage = Stage(told(100.0))
    stage.turn(pin(factor=2.5))
    assert (stage.decide().predicted_ms, stage.decide().basis) == (250.0, PINNED)
    silent = Stage(ToldPredictor(lambda _: None))
    silent.turn(pin(factor=2.5))
    assert silent.decide().policy == ROUND_ROBIN


def test_pinned_value_needs_no_predictor():
    stage = Stage(ToldPredictor(raising))
    stage.turn(pin(value_ms=70.0))
    for _ in range(5):
        decision = stage.decide()
        assert (decision.policy, decision.predicted_ms) == (PREDICTIVE, 70.0)


@pytest.mark.parametrize(("after_ms", "basis"), [(999, PINNED), (1_000, "told"), (1_001, "told")])
def test_pin_ends_exactly_when_it_expires(after_ms: int, basis: str):
    stage = Stage(told())
    stage.turn(pin(value_ms=5.0, until_ms=1_000))
    assert stage.decide(after_ms=after_ms).basis == basis
    assert bool(stage.forecasts.pins) == (basis == PINNED)


def test_pin_ends_when_it_is_removed_and_expired_ones_do_not_pile_up():
    stage = Stage(told())
    stage.turn(pin(value_ms=5.0))
    stage.turn(EstimateUnpinned("kind"), EstimateUnpinned("never pinned"))
    assert stage.decide().basis == "told"
    for number in range(50):
        stage.turn(pin(value_ms=5.0, until_ms=stage.now_ms + 10, task_type=f"type-{number}"), after_ms=10)
    assert list(stage.forecasts.pins) == ["type-49"]


def test_pins_are_bounded_and_one_that_stands_can_still_be_changed():
    stage = Stage(told())
    assert stage.turn(*(pin(value_ms=5.0, task_type=f"type-{number}") for number in range(PINS_MAX))) == []
    (notice,) = stage.turn(pin(value_ms=5.0, task_type="one-more"))
    assert (notice.kind, "one-more" in notice.detail) == ("refused", True)
    assert stage.turn(pin(value_ms=7.0, task_type="type-0")) == []
    assert stage.decide(task_type="type-0").predicted_ms == 7.0
    assert stage.turn(pin(value_ms=5.0, task_type="one-more"), after_ms=1_000) == []


def test_pin_is_scored_as_a_pin_and_teaches_nothing_about_workers():
    stage = Stage(told(100.0))
    stage.turn(pin(factor=10.0, until_ms=10**9))
    for _ in range(30):
        stage.decide(run_ms=100.0)
    assert stage.forecasts.scores.keys() == {PINNED}
    assert (stage.forecasts.scores[PINNED].predictions, stage.forecasts.scores[PINNED].within) == (30, 0)
    assert stage.engine.roster.by_name["w1"].factor == 1.0


def test_baseline_answers_while_the_breaker_is_open_and_the_fallback_where_it_has_no_data():
    failing = told(40.0)
    stage = Stage(failing, ema=EmaPredictor)
    for _ in range(3):
        stage.decide(run_ms=40.0)
    failing.answer = raising
    stage.decide(run_ms=None, task_type="other")  # when it came, and when it was placed
    asked = failing.asked
    known = stage.decide()
    assert (known.policy, known.basis) == (PREDICTIVE, "type")
    assert known.predicted_ms == pytest.approx(40.0)
    assert stage.decide(task_type="unheard of").policy == ROUND_ROBIN
    assert failing.asked == asked + 1, "once it has failed three times in a row nobody asks it"
    failing.answer = lambda _: prediction(7.0)
    assert stage.decide(after_ms=5_000).basis == "told"
    assert stage.forecasts.breaker.snapshot()[:2] == (0, None)


def test_baseline_answers_where_the_active_one_has_no_data_which_is_no_failure():
    stage = Stage(ToldPredictor(lambda each: None if each.type == "new" else prediction(5.0)), ema=EmaPredictor)
    assert stage.decide(task_type="new", run_ms=40.0).policy == ROUND_ROBIN
    decision = stage.decide(task_type="new", run_ms=40.0)
    assert (decision.predicted_ms, decision.basis) == (40.0, "type")
    assert stage.decide(run_ms=5.0).basis == "told"
    assert stage.forecasts.failures == 0
    assert {name: score.predictions for name, score in stage.forecasts.scores.items()} == {"ema": 1, "told": 1}


def test_prediction_goes_by_the_name_of_who_was_chosen_whatever_it_says():
    stage = Stage(candidate(lambda _: prediction(5.0)), settings=EngineSettings(predictor="candidate"))
    stage.decide(run_ms=5.0)
    assert list(stage.forecasts.scores) == ["candidate"]


def test_overrun_opens_the_breaker_at_once():
    stage = Stage(told(), ema=EmaPredictor)
    stage.decide(run_ms=40.0)
    stage.turn(PredictorOverran(1_500.0))
    assert stage.decide().basis == "type"


def test_candidate_that_overruns_leaves_the_shadow_and_the_active_one_goes_on():
    stage = Stage(told(100.0), candidate(lambda _: prediction(1.0)), ema=EmaPredictor)
    stage.forecasts.choose_shadow("candidate")
    (notice,) = stage.turn(PredictorOverran(1_500.0, "candidate"))
    assert isinstance(notice, Noticed)
    assert (notice.kind, "candidate" in notice.detail) == ("overran", True)
    assert stage.forecasts.shadow is None
    assert stage.turn(PredictorOverran(1_500.0, "candidate")) == [], "its last measurement may come late"
    assert stage.decide().basis == "told"
    stage.turn(PredictorOverran(1_500.0, "told"))
    assert stage.decide().basis == "type"


def test_round_robin_asks_nobody_not_even_about_pins():
    silent, shadow = told(), candidate(lambda _: prediction(1.0))
    stage = Stage(silent, shadow, settings=EngineSettings(predictor="told", mode=ROUND_ROBIN))
    stage.forecasts.choose_shadow("candidate")
    stage.turn(pin(value_ms=5.0))
    assert stage.decide().predicted_ms is None
    assert (silent.asked, shadow.asked) == (0, 0)
    assert (len(silent.learned), len(shadow.learned)) == (1, 1), "they learn all the same"


# -- what is usable


@pytest.mark.parametrize(
    "changes",
    [
        {"p80_ms": numpy.float64(3.0)},
        {"p95_ms": 3, "confidence": numpy.float32(0.5)},
        {"samples": numpy.int64(3), "version": numpy.int32(1)},
        {"p10_ms": numpy.float64(1.0), "p90_ms": numpy.float64(9.0)},
        {"basis": numpy.str_("told"), "predictor": numpy.str_("told")},
    ],
    ids="+".join,
)
def test_prediction_of_foreign_numbers_can_be_kept_in_a_snapshot(changes):
    stage = Stage(ToldPredictor(lambda _: msgspec.structs.replace(prediction(10.0), **changes)))
    stage.decide(run_ms=None)
    restored = snapshot.restore(snapshot.take(stage.engine), stage.factories)
    assert restored.tasks["d1"].booked.prediction.mean_ms == 10.0


# -- for the chosen worker


def test_predictor_that_knows_workers_is_asked_again_for_the_chosen_one():
    stage = Stage(Informed(lambda _: prediction(100.0)))
    stage.turn(*(submitted(name) for name in ("t1", "t2")), joined("slow"))
    effects = stage.turn(submitted("t3"), submitted("t4"))
    decisions = [each.decision for each in effects]
    assert {decision.worker for decision in decisions} == {"w1", "slow"}
    for decision in decisions:
        expected_ms = 300.0 if decision.worker == "slow" else 100.0
        assert (decision.predicted_ms, decision.p50_ms) == (expected_ms, expected_ms)
        assert stage.engine.tasks[decision.task_id].booked.booked_ms == expected_ms


def test_predictor_that_knows_no_workers_is_scaled_by_the_workers_pace():
    stage = Stage(told(100.0))
    stage.engine.roster.by_name["w1"].factor = 1.5
    assert (stage.decide().predicted_ms, stage.decide().p50_ms) == (150.0, pytest.approx(150.0, rel=0.2))


def test_baseline_stands_in_for_the_chosen_worker_at_that_workers_pace():
    asked = iter((prediction(80.0), prediction(80.0)))  # for the queue and for placing; then it fails
    stage = Stage(Informed(lambda _: next(asked)), ema=EmaPredictor)
    stage.forecasts.baseline._table.learn("kind", 50.0)
    stage.engine.roster.by_name["w1"].factor = 2.0
    assert stage.decide(run_ms=None).predicted_ms == 100.0
    assert stage.forecasts.failures == 1


# -- the shadow


def test_shadow_is_asked_at_dispatch_scored_and_never_decides():
    active, shadow = told(100.0), candidate(lambda _: prediction(50.0))
    plain, stage = Stage(told(100.0)), Stage(active, shadow)
    assert stage.forecasts.choose_shadow("candidate")
    assert [stage.decide() for _ in range(20)] == [plain.decide() for _ in range(20)]
    assert shadow.asked == 20
    scores = {name: (score.predictions, score.within) for name, score in stage.forecasts.scores.items()}
    assert scores == {"told": (20, 20), "candidate": (20, 0)}
    assert len(shadow.learned) == 20


@pytest.mark.parametrize(
    "answer",
    [
        raising,
        lambda _: prediction(math.nan),
        lambda _: prediction(-1.0),
        lambda _: "soon",
        lambda _: None,
    ],
    ids=["raises", "nan", "negative", "no prediction", "none"],
)
def test_failures_of_the_shadow_are_its_own(answer):
    shadow = candidate(answer)
    shadow.learn = raising
    stage, plain = Stage(told(100.0), shadow), Stage(told(100.0))
    stage.forecasts.choose_shadow("candidate")
    assert [stage.decide() for _ in range(10)] == [plain.decide() for _ in range(10)]
    assert stage.forecasts.failures == 0
    assert stage.forecasts.scores["told"].predictions == 10
    assert stage.forecasts.scores.get("candidate") is None or stage.forecasts.scores["candidate"].predictions == 0


def test_run_is_scored_for_the_shadow_that_had_predicted_it():
    stage = Stage(told(100.0), candidate(lambda _: prediction(100.0)))
    stage.forecasts.choose_shadow("candidate")
    stage.decide(run_ms=None)
    stage.forecasts.choose("candidate")  # now `told` is in the shadow, and had not been asked there
    stage.turn(finished("d1", run_ms=100.0))
    scores = {name: score.predictions for name, score in stage.forecasts.scores.items()}
    assert scores == {"told": 1, "candidate": 1}


def test_late_run_is_scored_for_nobody():
    stage = Stage(told(100.0), candidate(lambda _: prediction(100.0)))
    stage.forecasts.choose_shadow("candidate")
    stage.decide(run_ms=None)
    stage.turn(finished("d1", "w1", attempt=7, run_ms=100.0))
    assert stage.forecasts.scores == {}


# -- learning


def test_all_learn_every_run_with_what_had_been_predicted():
    active, shadow = told(100.0), candidate(lambda _: prediction(50.0))
    stage = Stage(active, shadow, ema=EmaPredictor)
    stage.forecasts.choose_shadow("candidate")
    stage.decide(run_ms=60.0)
    for each in (active, shadow):
        (run,) = each.learned
        assert (run.run_ms, run.worker, run.prediction.mean_ms) == (60.0, "w1", 100.0)
    assert stage.forecasts.baseline.predict(task()).mean_ms == 60.0


@pytest.mark.parametrize(
    ("said", "counter"),
    [("drift: kind no longer runs as predicted", "drifts"), ("distrust: worker w1 reports nonsense", "distrusted")],
)
def test_what_people_should_hear_of_is_counted_and_recorded(said: str, counter: str):
    active = told()
    active.learn = lambda _: said
    stage = Stage(active)
    stage.decide()
    assert stage.effects == [Noticed(said.partition(":")[0], said)]
    assert stage.engine.counters[counter] == 1


def test_predictor_that_cannot_learn_is_failing_and_the_task_has_finished():
    active = told()
    active.learn = raising
    stage = Stage(active, ema=EmaPredictor)
    for _ in range(3):
        stage.decide(run_ms=30.0)
    assert stage.engine.counters["finished"] == 3
    assert stage.forecasts.failures == 3


# -- what cannot be written down or taken over


def broken(*_: object) -> bytes:
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize(("part", "shadow"), [("candidate", True), ("told", False)])
@pytest.mark.parametrize("answer", [broken, lambda: "no bytes"], ids=["raises", "text"])
def test_predictor_that_cannot_be_written_down_is_named_and_everything_else_still_can(
    part: str, shadow: bool, answer: Callable[..., object]
):
    stage = Stage(told(100.0), candidate(lambda _: prediction(50.0)), ema=EmaPredictor)
    stage.forecasts.choose_shadow("candidate")
    stage.decide()
    failing = stage.forecasts.shadow if shadow else stage.forecasts.active
    failing.snapshot = answer
    with pytest.raises(PredictorUnkept, match=part) as caught:
        snapshot.take(stage.engine)
    assert (caught.value.name, caught.value.shadow) == (part, shadow)
    stage.turn(*([] if shadow else [PredictorChosen("ema")]), PredictorChosen("", shadow=True))
    restored = snapshot.restore(snapshot.take(stage.engine), stage.factories)
    assert restored.digest() == stage.engine.digest()
    assert (restored.forecasts.active.name, restored.forecasts.shadow) == ("told" if shadow else "ema", None)


def test_digest_is_of_what_decides_and_a_failing_one_counts_by_its_name():
    stage, twin = (Stage(told(100.0), candidate(lambda _: prediction(50.0)), ema=EmaPredictor) for _ in range(2))
    for each in (stage, twin):
        each.forecasts.choose_shadow("candidate")
        each.decide()
    before = stage.engine.digest()
    stage.forecasts.shadow.learn(stage.forecasts.active.learned[0])
    stage.forecasts.shadow.digest = broken
    assert stage.engine.digest() == before, "what a candidate has learned decides nothing"
    for each in (stage, twin):
        each.forecasts.active.digest = broken
    assert stage.engine.digest() == twin.engine.digest() != before


def test_candidate_that_cannot_read_what_it_wrote_begins_anew():
    stage = Stage(told(100.0), candidate(lambda _: prediction(50.0)))
    stage.forecasts.choose_shadow("candidate")
    stage.decide()
    blob, digest = snapshot.take(stage.engine), stage.engine.digest()
    forgetful = candidate(lambda _: prediction(50.0))
    forgetful.restore = broken
    restored = snapshot.restore(blob, stage.factories | {"candidate": factory_of(forgetful)})
    assert restored.forecasts.shadow is forgetful
    assert restored.digest() == digest
    with pytest.raises(RuntimeError):
        told_again = told()
        told_again.restore = broken
        snapshot.restore(blob, stage.factories | {"told": factory_of(told_again)})


def test_predictor_that_cannot_take_over_a_configuration_gives_way_and_that_is_said():
    stage = Stage(told(100.0), candidate(lambda _: prediction(50.0)), ema=EmaPredictor)
    stage.forecasts.choose_shadow("candidate")
    stage.decide(run_ms=40.0)
    for each in (stage.forecasts.active, stage.forecasts.shadow):
        each.snapshot = broken
    notices = [each.detail for each in stage.turn(EpochBegan(2, "me", msgspec.structs.replace(TOLD, min_samples=2)))]
    assert [notice.partition(" ")[2].split()[0] for notice in notices] == ["told", "candidate"]
    assert (stage.forecasts.active.name, stage.forecasts.shadow, stage.forecasts.baseline) == ("ema", None, None)
    assert stage.forecasts.predict(task(), 0) is None, "one run is not enough under this configuration"
    stage.decide(run_ms=40.0)
    assert stage.decide().basis == "type"
    restored = snapshot.restore(snapshot.take(stage.engine), stage.factories)
    assert restored.forecasts.active.name == "ema"


def test_predictor_that_cannot_take_over_and_has_no_baseline_behind_it_says_so():
    stage = Stage(told(100.0))
    stage.decide()
    stage.forecasts.active.snapshot = broken
    with pytest.raises(RuntimeError):
        stage.forecasts.configure(msgspec.structs.replace(TOLD, min_samples=2))
