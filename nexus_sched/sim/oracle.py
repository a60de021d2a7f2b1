"""The clairvoyant: a predictor that knows how long each task will take on each worker.

Placed by the engine with the very same rules, it shows what perfect predictions would bring. It is no bound on what
any scheduler could do: the rules themselves are the engine's. It knows no more of affinity than these do.

The engine asks for means by class of workers, so here every worker is a class of its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import structs

from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent, WorkerJoined
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.task import Task
from nexus_sched.sim.workload import Workload


class OraclePredictor:
    """The truth of a workload, as a predictor; `now_ms` tells the instant of the turn."""

    name = "oracle"
    version = 1
    knows_workers = True

    def __init__(self, workload: Workload, now_ms: Callable[[], float]) -> None:
        self._truth = workload.truth
        self._indexes = {worker.name: index for index, worker in enumerate(workload.workers)}
        self._now_ms = now_ms
        self._classes: tuple[str, ...] = ()  # those of the last call, and where their workers are in the fleet
        self._places = np.array([], dtype=np.int64)

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction:
        """The true service time on `worker`, or its mean over the fleet."""
        number = int(task.id)
        index = self._indexes.get(worker or worker_class)
        if index is None:
            return _certain(self._truth.mean_ms[number])
        return _certain(self._truth.run_ms(number, index, self._now_ms()))

    def predict_classes(self, task: Task, classes: tuple[str, ...], means_ms: array[float]) -> bool:
        """The true service time on the worker of each class; see `ClassPredictor`."""
        if classes is not self._classes:
            self._classes = classes
            self._places = np.array([self._indexes[name] for name in classes], dtype=np.int64)
        every = self._truth.on_all_ms(int(task.id), self._now_ms())
        np.frombuffer(means_ms, dtype=np.float32)[: len(classes)] = every[self._places]
        return True

    def learn(self, run: CompletedRun) -> str | None:  # noqa: ARG002 - the contract's
        """There is nothing to learn."""
        return None

    def snapshot(self) -> bytes:
        """Nothing: the truth is with the workload."""
        return b""

    def restore(self, blob: bytes) -> None:
        """The opposite of `snapshot`."""

    def digest(self) -> int:
        """Of nothing."""
        return 0


class EachItsOwnClass:
    """The engine as a core, with every worker in the class of its own name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def ready(self) -> bool:
        """The engine's."""
        return self._engine.ready

    @property
    def next_due_ms(self) -> int | None:
        """The engine's."""
        return self._engine.next_due_ms

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        """Give the engine its turn."""
        renamed = [
            structs.replace(event, worker_class=event.worker) if isinstance(event, WorkerJoined) else event
            for event in events
        ]
        return self._engine.handle(renamed, at_ns)


def _certain(time_ms: float) -> TaskPrediction:
    return TaskPrediction(time_ms, time_ms, time_ms, time_ms, 1.0, "truth", 1, "oracle", 1, time_ms, time_ms)
