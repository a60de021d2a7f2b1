"""The clairvoyant: a predictor that knows how long each task will take on each worker.

Placed by the engine with the very same rules, it shows what perfect predictions would bring. It is no bound on what
any scheduler could do: the rules themselves are the engine's.
"""

from __future__ import annotations

from collections.abc import Callable

from nexus_sched.core.predictors.base import CompletedRun
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

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction:  # noqa: ARG002 - the contract's
        """The true service time on `worker`, or its mean over the fleet."""
        number = int(task.id)
        if worker is None:
            return _certain(self._truth.mean_ms[number])
        return _certain(self._truth.run_ms(number, self._indexes[worker], self._now_ms()))

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


def _certain(time_ms: float) -> TaskPrediction:
    return TaskPrediction(time_ms, time_ms, time_ms, time_ms, 1.0, "truth", 1, "oracle", 1, time_ms, time_ms)
