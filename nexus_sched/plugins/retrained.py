"""Gradient boosting that trains itself again and again, for measurements: what daily training would give.

Law: a pure function of what it was given. Training happens inside `learn`, on the time of the runs: a day after the
last training, and earlier whenever there are twice as many runs as then, so that traces without times train as well.
Not for a live scheduler: a training takes a second or more, and would stand in its way. There a timer trains beside
it (`nexus-sched predictor train`), and the model is loaded into the shadow.
"""

from __future__ import annotations

from collections import deque

import msgspec
from msgspec import Struct

from nexus_sched._kernel.digest import digest64
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.plugins.boosting import BoostingPredictor
from nexus_sched.plugins.runs import TrainingRun, run_of
from nexus_sched.plugins.training import train

PERIOD_MS = 86_400_000
RUNS_FIRST = 200  # runs before the first training
RUNS_KEPT = 50_000
GROWTH = 2


class RetrainedState(Struct, array_like=True):
    """A snapshot: the boosted predictor in use, and what the next training will see."""

    version: int
    inner: bytes
    runs: list[TrainingRun]
    trained_runs: int
    trained_at_ms: int
    learned: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RetrainedState).decode


class RetrainedPredictor:
    """`BoostingPredictor`, always with a model of yesterday."""

    name = "boosting"
    version = 1
    knows_workers = True

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._inner = BoostingPredictor(settings)
        self._runs: deque[TrainingRun] = deque(maxlen=RUNS_KEPT)
        self._learned = 0
        self._trained_runs = RUNS_FIRST // GROWTH
        self._trained_at_ms = 0

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        """What the newest model says; `None` before the first training."""
        return self._inner.predict(task, worker, worker_class)

    def learn(self, run: CompletedRun) -> str | None:
        """Take in one run, and train if it is time."""
        self._inner.learn(run)
        self._runs.append(run_of(run, at="submit"))
        self._learned += 1
        trained = self._trained_runs > RUNS_FIRST // GROWTH
        if self._learned >= GROWTH * self._trained_runs or (trained and run.at_ms >= self._trained_at_ms + PERIOD_MS):
            blob = train(list(self._runs), trained_at="", source="its own runs")
            self._inner = BoostingPredictor(self._settings, blob)
            self._trained_runs, self._trained_at_ms = self._learned, run.at_ms
        return None

    def snapshot(self) -> bytes:
        """Everything learned."""
        return _encode(
            RetrainedState(
                self.version,
                self._inner.snapshot(),
                list(self._runs),
                self._trained_runs,
                self._trained_at_ms,
                self._learned,
            )
        )

    def restore(self, blob: bytes) -> None:
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`."""
        try:
            state = _decode(blob)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotUnreadable(f"state of retrained `boosting` cannot be read: {error}") from error
        if state.version != self.version:
            raise SnapshotUnreadable(f"state has version {state.version}, this one reads {self.version}")
        self._inner.restore(state.inner)
        self._runs = deque(state.runs, maxlen=RUNS_KEPT)
        self._learned, self._trained_runs, self._trained_at_ms = state.learned, state.trained_runs, state.trained_at_ms

    def digest(self) -> int:
        """Digest of everything learned."""
        return digest64(self.snapshot())
