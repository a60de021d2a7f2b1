"""The baseline predictor: a warm-started moving average per task type, free of payload and worker.

Not enough for good predictions (prediction.md, fact 1), but honest, cheap, and what every better
predictor is compared with.
"""

from __future__ import annotations

from nexus_sched._kernel.estimator_table import EstimatorTable
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task

# Standard normal quantiles: the interval is the one of a normal distribution around the average.
Z80 = 0.8416212
Z90 = 1.2815516
Z95 = 1.6448536
CONFIDENCE_SAMPLES = 8.0  # completions at which confidence reaches one half


class EmaPredictor:
    """Average service time of the task's type, from at least `min_samples` completions."""

    name = "ema"
    version = 1
    knows_workers = False

    def __init__(self, settings: EngineSettings) -> None:
        self._table = EstimatorTable(alpha=settings.ema_alpha)
        self.take = self._table.learn  # (task type, ms): what `learn` does
        self._samples_min = max(1, settings.min_samples)

    def predict(
        self,
        task: Task,
        worker: str | None = None,  # noqa: ARG002 - the contract's
        worker_class: str = "",  # noqa: ARG002 - the contract's
    ) -> TaskPrediction | None:
        """The type's average; the submitter's hint if the type is too little known; else `None`."""
        known = self._table.estimate(task.type)
        if known is not None and known[2] >= self._samples_min:
            mean, deviation, samples = known
            return TaskPrediction(
                mean,
                mean,
                mean + Z80 * deviation,
                mean + Z95 * deviation,
                samples / (samples + CONFIDENCE_SAMPLES),
                "type",
                samples,
                "ema",
                1,
                max(mean - Z90 * deviation, 0.0),
                mean + Z90 * deviation,
            )
        hint = task.hint_ms
        if hint is not None:
            return TaskPrediction(hint, hint, hint, hint, 0.0, "hint", 0, self.name, self.version)
        return None

    def learn(self, run: CompletedRun) -> str | None:
        """Move the type's average towards the run's service time."""
        self.take(run.task.type, run.run_ms)
        return None

    def snapshot(self) -> bytes:
        """The estimator table."""
        return self._table.snapshot()

    def restore(self, blob: bytes) -> None:
        """Replace the estimator table."""
        self._table.restore(blob)

    def digest(self) -> int:
        """Digest of the estimator table."""
        return self._table.digest()
