"""The time budget of predictions by plug-ins: measured here, because the core has no clock.

A prediction over its budget is used all the same, it has been made. Only when that happens `threshold` times in a
row does the shell tell the engine, as an input like any other (`PredictorOverran`), and the breaker opens, or a
candidate leaves the shadow. The package's own predictors take microseconds, are held to it by benchmarks, and are
not timed.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import cast

from nexus_sched.core.predictors.base import ClassPredictor, CompletedRun, Predictor, PredictorFactory
from nexus_sched.model.events import AnyEvent, PredictorOverran
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task

BUDGET_US = 1_000.0
OWN = ("ema", "learned")


class BudgetWatch:
    """Counts overruns in a row, for each plug-in of a process. `feed` is `None` while a recovery replays."""

    def __init__(self, threshold: int, budget_us: float = BUDGET_US) -> None:
        self.threshold = threshold
        self._budget_us = budget_us
        self._in_a_row: dict[str, int] = {}
        self.feed: Callable[[list[AnyEvent]], None] | None = None

    def spent(self, predictor: str, spent_us: float) -> None:
        """A prediction by this predictor took this long."""
        count = self._in_a_row.get(predictor, 0) + 1 if spent_us > self._budget_us else 0
        if count >= self.threshold and self.feed is not None:
            count = 0
            self.feed([PredictorOverran(spent_us, predictor)])
        self._in_a_row[predictor] = count

    def over_all(self, predictors: Mapping[str, PredictorFactory]) -> Mapping[str, PredictorFactory]:
        """The same factories, those of plug-ins timed."""
        return TimedFactories(predictors, self)


class TimedFactories(Mapping[str, PredictorFactory]):
    """Asks for a factory only when it is asked for: plug-ins load when they are chosen, models when they are there."""

    def __init__(self, predictors: Mapping[str, PredictorFactory], watch: BudgetWatch) -> None:
        self._predictors = predictors
        self._watch = watch

    def __getitem__(self, name: str) -> PredictorFactory:
        factory = self._predictors[name]
        return factory if name in OWN else partial(self._timed, factory)

    def __iter__(self) -> Iterator[str]:
        return iter(self._predictors)

    def __len__(self) -> int:
        return len(self._predictors)

    def _timed(self, factory: PredictorFactory, settings: EngineSettings) -> Predictor:
        predictor = factory(settings)
        if hasattr(predictor, "predict_classes"):  # an attribute that is there or not says which kind it is
            return TimedByClass(cast("ClassPredictor", predictor), self._watch)
        return Timed(predictor, self._watch)


class Timed:
    """A predictor whose predictions are timed; otherwise the predictor itself."""

    def __init__(self, predictor: Predictor, watch: BudgetWatch) -> None:
        self._predictor = predictor
        self._watch = watch
        self.name = predictor.name
        self.version = predictor.version
        self.knows_workers = predictor.knows_workers

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        """What the predictor answers."""
        started_ns = time.perf_counter_ns()
        try:
            return self._predictor.predict(task, worker, worker_class)
        finally:
            self._watch.spent(self.name, (time.perf_counter_ns() - started_ns) / 1_000)

    def learn(self, run: CompletedRun) -> str | None:
        """What the predictor answers."""
        return self._predictor.learn(run)

    def snapshot(self) -> bytes:
        """The predictor's."""
        return self._predictor.snapshot()

    def restore(self, blob: bytes) -> None:
        """The predictor's."""
        self._predictor.restore(blob)

    def digest(self) -> int:
        """The predictor's."""
        return self._predictor.digest()


class TimedByClass(Timed):
    """The same of a predictor that answers for all worker classes at once, which has the same budget."""

    def __init__(self, predictor: ClassPredictor, watch: BudgetWatch) -> None:
        super().__init__(predictor, watch)
        self._by_class = predictor

    def predict_classes(self, task: Task, classes: tuple[str, ...], means_ms: array[float]) -> bool:
        """What the predictor answers."""
        started_ns = time.perf_counter_ns()
        try:
            return self._by_class.predict_classes(task, classes, means_ms)
        finally:
            self._watch.spent(self.name, (time.perf_counter_ns() - started_ns) / 1_000)
