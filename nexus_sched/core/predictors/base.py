"""The contract of a predictor: pure functions of what it was given, with explicit time.

A predictor may answer `None`: no data is an honest answer, and another rung of the ladder predicts or places instead.
An exception or a non-finite number counts as a failure for the breaker in `core.breaker`.
"""

from __future__ import annotations

from array import array
from typing import Protocol

from msgspec import Struct

from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task


class CompletedRun(Struct, frozen=True, gc=False):
    """A successful run to learn from. Only service time trains, never queueing."""

    task: Task
    worker: str
    worker_class: str
    run_ms: float
    at_ms: int
    prediction: TaskPrediction | None = None  # what had been predicted for it, on this worker


class Predictor(Protocol):
    """How long will this task run? Deterministic: the same calls in the same order give the same bits."""

    name: str
    version: int
    knows_workers: bool  # False: the answer is the same for every worker, and the engine scales it by the worker's pace

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        """Predicted service time, on `worker` of `worker_class` if named; `None` without data. Budget: 1 ms."""

    def learn(self, run: CompletedRun) -> str | None:
        """Take in one successful run. What people should hear of it (drift, a lying worker) is the answer."""

    def snapshot(self) -> bytes:
        """Everything learned."""

    def restore(self, blob: bytes) -> None:
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`."""

    def digest(self) -> int:
        """64-bit digest of everything learned; equal state, equal digest."""


class ClassPredictor(Predictor, Protocol):
    """A predictor that answers for all worker classes of a pool at once. Optional: whoever has no attribute
    `predict_classes` gives one number for all of them, and the learned factor of a worker then carries its class. Same
    ladder, same means, but as float32; see `Predictor`.
    """

    def predict_classes(self, task: Task, classes: tuple[str, ...], means_ms: array[float]) -> bool:
        """Fill the first `len(classes)` of `means_ms`, an array of typecode "f", with the mean in ms on each class.

        Each is `predict(task, None, that class).mean_ms`. False without data; then they mean nothing. Asked
        with the same tuple object again it is faster. Budget: that of one `predict`.
        """


class PredictorFactory(Protocol):
    """Makes a predictor for a configuration; what an entry point `nexus_sched.predictors` names."""

    def __call__(self, settings: EngineSettings) -> Predictor:
        """A predictor that has learned nothing yet."""
