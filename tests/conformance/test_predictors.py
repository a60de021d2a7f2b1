"""The conformance suite on every predictor of the package, on the example, and on broken ones, which it must find."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nexus_sched.core.predictors.base import CompletedRun, PredictorFactory
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.plugins.boosting import BoostingPredictor
from nexus_sched.plugins.runs import run_of
from nexus_sched.plugins.training import train
from nexus_sched.testing import predictors as suite
from nexus_sched.testing.predictors import CASES, Case, exercise, stream


@pytest.fixture(scope="session")
def model() -> bytes:
    pytest.importorskip("lightgbm", reason="the extra `ml` is not installed")
    runs = [
        run_of(CompletedRun(task, worker, worker_class, run_ms, task.arrived_at_ms))
        for task, worker, worker_class, run_ms in stream(2_000, seed=7)
    ]
    return train(runs, trained_at="2026-11-21", source="the suite's stream")


def example(root: Path) -> PredictorFactory:
    spec = importlib.util.spec_from_file_location("plain_predictor", root / "examples/plain_predictor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Medians


@pytest.fixture(params=["ema", "learned", "boosting", "boosting without a model", "example"])
def factory(request: pytest.FixtureRequest, root: Path) -> PredictorFactory:
    if request.param == "boosting":
        return partial(BoostingPredictor, blob=request.getfixturevalue("model"))
    made = {"ema": EmaPredictor, "learned": LearnedPredictor, "boosting without a model": BoostingPredictor}
    return made.get(request.param) or example(root)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_predictor(factory: PredictorFactory, case: Case):
    case(factory)


def test_suite_in_one_line_runs_all_cases():
    exercise(EmaPredictor)


class Sound(EmaPredictor):
    """Keeps the contract; the broken ones below change one thing each."""


class Nameless(Sound):
    name = ""


class Unlike(Sound):
    made = 0

    def __init__(self, settings):
        super().__init__(settings)
        Unlike.made += 1
        self._mine = Unlike.made

    def predict(self, task, worker=None, worker_class=""):
        return TaskPrediction(*[float(self._mine)] * 4, 0.5, "made", 1, self.name, self.version)


class LearnsFromQuestions(Sound):
    def predict(self, task, worker=None, worker_class=""):
        self._table.learn(task.type, 5.0)
        return super().predict(task, worker, worker_class)


class NotFinite(Sound):
    def predict(self, task, worker=None, worker_class=""):
        return TaskPrediction(math.nan, math.nan, math.nan, math.nan, 0.5, "broken", 1, self.name, self.version)


class OutOfOrder(Sound):
    def predict(self, task, worker=None, worker_class=""):
        return TaskPrediction(5.0, 5.0, 4.0, 6.0, 0.5, "broken", 1, self.name, self.version)


class Unsigned(Sound):
    def predict(self, task, worker=None, worker_class=""):
        return TaskPrediction(5.0, 5.0, 6.0, 7.0, 0.5, "type", 1, "somebody", self.version)


class AfraidOfPayloads(Sound):
    def predict(self, task, worker=None, worker_class=""):
        math.log(task.payload_bytes)
        return super().predict(task, worker, worker_class)


class KnownWorkersOnly(Sound):
    def predict(self, task, worker=None, worker_class=""):
        if worker == "nobody":
            raise KeyError(worker)
        return super().predict(task, worker, worker_class)


class Forgetful(Sound):
    def restore(self, blob):
        EmaPredictor(suite.EngineSettings()).restore(blob)


class Clinging(Sound):
    def restore(self, blob):
        if len(blob) > len(EmaPredictor(suite.EngineSettings()).snapshot()):
            super().restore(blob)


class SameDigest(Sound):
    def digest(self):
        return 7


class TakesAnything(Sound):
    def restore(self, blob):
        try:
            super().restore(blob)
        except SnapshotUnreadable:
            self.refused = True


class VersionIgnored(Sound):
    def snapshot(self):
        return b"%d|" % self.version + super().snapshot()

    def restore(self, blob):
        super().restore(blob.partition(b"|")[2])


class Slow(Sound):
    def predict(self, task, worker=None, worker_class=""):
        if task.arrived_at_ms % 400 == 0:  # one in forty
            until_ns = time.thread_time_ns() + 1_100_000
            while time.thread_time_ns() < until_ns:
                pass
        return super().predict(task, worker, worker_class)


@pytest.mark.parametrize(
    ("broken", "case"),
    [
        (Nameless, suite.predictor_names_itself),
        (NotFinite, suite.predictor_untrained_answers_or_has_no_data),
        (Unlike, suite.predictor_same_calls_give_same_bits),
        (LearnsFromQuestions, suite.predictor_asked_learns_nothing),
        (NotFinite, suite.predictor_answers_are_finite_and_ordered),
        (OutOfOrder, suite.predictor_answers_are_finite_and_ordered),
        (Unsigned, suite.predictor_answers_are_finite_and_ordered),
        (AfraidOfPayloads, suite.predictor_odd_tasks_are_no_fault),
        (KnownWorkersOnly, suite.predictor_strange_worker_is_no_fault),
        (Forgetful, suite.predictor_survives_a_snapshot_in_the_middle),
        (Clinging, suite.predictor_restored_over_a_state_forgets_it),
        (SameDigest, suite.predictor_digest_tells_states_apart),
        (TakesAnything, suite.predictor_refuses_what_is_no_snapshot),
        (VersionIgnored, suite.predictor_refuses_another_version),
        (Slow, suite.predictor_keeps_its_budget),
    ],
    ids=lambda value: value.__name__,
)
def test_suite_finds_what_is_broken(broken: type, case: Callable[[PredictorFactory], None]):
    with pytest.raises((AssertionError, ValueError, KeyError)):
        case(broken)
