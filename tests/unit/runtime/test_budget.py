"""The time budget of plug-ins: measured in the shell, told to the engine as an input."""

from __future__ import annotations

import time
from array import array

from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.model.events import PredictorOverran
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.runtime.budget import BudgetWatch
from nexus_sched.testing.builders import Bench, ToldPredictor, joined, prediction, submitted, task


def watch_and_told(threshold: int = 3):
    watch = BudgetWatch(threshold)
    told: list[PredictorOverran] = []
    watch.feed = told.extend
    return watch, told


def test_overruns_in_a_row_are_told_once_they_reach_the_threshold():
    watch, told = watch_and_told()
    for spent_us in (2_000.0, 1_500.0):
        watch.spent("told", spent_us)
    assert told == []
    watch.spent("told", 1_001.0)
    assert told == [PredictorOverran(1_001.0, "told")]


def test_prediction_within_its_budget_resets_the_count():
    watch, told = watch_and_told()
    for spent_us in (2_000.0, 2_000.0, 1_000.0, 2_000.0, 2_000.0):
        watch.spent("told", spent_us)
    assert told == []


def test_each_predictor_has_a_count_of_its_own():
    watch, told = watch_and_told()
    for _ in range(3):
        watch.spent("quick", 10.0)
        watch.spent("slow", 2_000.0)
    assert told == [PredictorOverran(2_000.0, "slow")]


def test_nothing_is_told_while_a_recovery_replays():
    watch, told = watch_and_told(threshold=1)
    watch.feed = None
    watch.spent("told", 9_000.0)
    assert told == []


def test_own_predictors_are_not_timed_and_plug_ins_are():
    watch, told = watch_and_told(threshold=1)

    def slow(_):
        time.sleep(0.002)
        return prediction(10.0)

    factories = watch.over_all({"ema": EmaPredictor, "told": lambda _: ToldPredictor(slow)})
    assert factories["ema"] is EmaPredictor
    timed = factories["told"](EngineSettings())
    answer = timed.predict(task("t1"))
    assert answer is not None
    assert answer.mean_ms == 10.0
    assert len(told) == 1
    assert told[0].spent_us >= 2_000.0


def test_timed_predictor_is_the_predictor_in_everything_else():
    watch, _ = watch_and_told()
    plain = ToldPredictor(lambda _: prediction(10.0))
    timed = watch.over_all({"told": lambda _: plain})["told"](EngineSettings())
    assert (timed.name, timed.version, timed.knows_workers) == ("told", 1, False)
    assert (timed.snapshot(), timed.digest()) == (plain.snapshot(), plain.digest())
    timed.restore(b"\x05")
    assert plain.snapshot() == b"\x05"


class ByClass(ToldPredictor):
    """A plug-in that tells worker classes apart, and takes its time."""

    def __init__(self, pause_s: float = 0.0, **by_class: float) -> None:
        super().__init__(lambda _: prediction(50.0))
        self.by_class = by_class
        self.pause_s = pause_s

    def predict_classes(self, task: Task, classes: tuple[str, ...], means_ms: array[float]) -> bool:
        time.sleep(self.pause_s)
        for index, name in enumerate(classes):
            means_ms[index] = self.by_class[name]
        return True


def test_timed_plug_in_that_tells_classes_apart_is_asked_about_them():
    watch, _ = watch_and_told()
    timed = watch.over_all({"told": lambda _: ByClass(blue=90.0, green=30.0)})["told"](EngineSettings())
    bench = Bench(EngineSettings(predictor="told"), timed)
    bench.turn(joined("b", worker_class="blue"), joined("g", worker_class="green"))
    assert bench.dispatched(submitted("t1")) == [("t1", "g")]
    plain = watch.over_all({"told": lambda _: ToldPredictor(lambda _: prediction(50.0))})["told"](EngineSettings())
    assert not hasattr(plain, "predict_classes")


def test_what_is_said_of_classes_has_the_budget_of_a_prediction():
    watch, told = watch_and_told(threshold=1)
    timed = watch.over_all({"told": lambda _: ByClass(0.002, blue=1.0)})["told"](EngineSettings())
    assert timed.predict_classes(task("t1"), ("blue",), array("f", [0.0]))
    assert [overrun.spent_us >= 2_000.0 for overrun in told] == [True]
