"""Gradient boosting, trained in batches from finished runs (docs/how-to/write-a-predictor.md).

`predict` asks a trained model; between trainings `learn` follows how long runs take of late, which the model is
shown, and keeps runs for the next training. Without a model it only collects and answers `None`.

A predictor called `boosting-<digest>` uses exactly the model with this digest: replaying a journal that names it
gives the same decisions, whatever was trained since.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from nexus_sched._kernel.digest import digest64
from nexus_sched.core.predictors.base import CompletedRun, PredictorFactory
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.plugins import model_file
from nexus_sched.plugins.collected import Collected
from nexus_sched.plugins.model import ExtraMissing, Model
from nexus_sched.plugins.model_file import ModelUnreadable
from nexus_sched.plugins.recent import RecentTimes, log2_of_ms
from nexus_sched.plugins.runs import TrainingRun, run_of


class BoostingState(Struct, array_like=True):
    """A snapshot: the model itself, and what came after it. Checkpoints are compressed as a whole, beside the loop."""

    version: int
    model: bytes
    recent: list[tuple[str, float, int]]
    collected: list[TrainingRun]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(BoostingState).decode


class BoostingPredictor:
    """Trees over type, payload, class, worker and recent times."""

    version = 1
    knows_workers = True

    def __init__(
        self, settings: EngineSettings, blob: bytes = b"", *, name: str = "boosting", model: Model | None = None
    ) -> None:
        self.name = name
        self._samples_min = max(1, settings.min_samples)
        self._blob = blob
        self._model = _loaded(blob, "the model") if model is None else model
        self._recent = RecentTimes(self._model.file.recent if self._model else None)
        self._collected = Collected()

    @staticmethod
    def from_file(path: Path, *, name: str = "boosting") -> PredictorFactory:
        """A factory of predictors with the model at `path`, loaded now. Raises `ModelUnreadable` or `ExtraMissing`."""
        blob = model_file.read(path)
        return partial(BoostingPredictor, blob=blob, name=name, model=Model(model_file.unpack(blob, str(path))))

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        """What the trees say; `None` without a model or for a type that has run too seldom."""
        if self._model is None:
            return None
        name = worker or ""
        recent = self._recent.of(task.type, worker_class, name)
        if recent is None or recent.samples < self._samples_min:
            return None
        return self._model.predict(task.type, task.payload_bytes, worker_class, name, recent, self.name)

    def learn(self, run: CompletedRun) -> str | None:
        """Follow the times, and keep the run for the next training."""
        self._recent.learn(run.task.type, run.worker_class, run.worker, log2_of_ms(run.run_ms))
        self._collected.add(run_of(run))
        return None

    def collected(self) -> list[TrainingRun]:
        """The runs that were kept: the newest of every type."""
        return self._collected.runs()

    def snapshot(self) -> bytes:
        """Everything learned, and the model."""
        return _encode(BoostingState(self.version, self._blob, self._recent.state(), self._collected.runs()))

    def restore(self, blob: bytes) -> None:
        """Become exactly what `snapshot` saw, whatever model this one was made with. Raises `SnapshotUnreadable`."""
        state = _read(blob, self.version)
        if state.model != self._blob:
            try:
                self._model = _loaded(state.model, "the model in the snapshot")
            except (ModelUnreadable, ExtraMissing) as error:
                raise SnapshotUnreadable(f"state of `boosting` cannot be used: {error}") from error
            self._blob = state.model
        self._recent = RecentTimes(state.recent)
        self._collected = Collected(state.collected)

    def digest(self) -> int:
        """Digest of everything learned, and of the model."""
        return digest64(self.snapshot())


def _loaded(blob: bytes, origin: str) -> Model | None:
    return Model(model_file.unpack(blob, origin)) if blob else None


def collected_in(blob: bytes) -> list[TrainingRun]:
    """The runs that a snapshot holds. Raises `SnapshotUnreadable`."""
    return _read(blob, BoostingPredictor.version).collected


def _read(blob: bytes, version: int) -> BoostingState:
    try:
        state = _decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotUnreadable(f"state of `boosting` cannot be read: {error}") from error
    if state.version != version:
        raise SnapshotUnreadable(f"state of `boosting` has version {state.version}, this one reads {version}")
    return state
