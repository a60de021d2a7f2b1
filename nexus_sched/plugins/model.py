"""A trained model in memory: from a row of numbers to a predicted time.

LightGBM is imported here, and only when a model is trained or loaded. Prediction walks the trees with comparisons
and additions only, in a fixed order, so that one file gives the same bits on every machine. One row costs about
30 us (measured; the budget is 1 ms), nearly all of it the call.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

import numpy as np

from nexus_sched._kernel.history_table import exp2
from nexus_sched.errors import NexusError
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.plugins.features import COLUMNS, Encoder, Matrix, Vector
from nexus_sched.plugins.model_file import ModelFile, ModelUnreadable, Quantiles
from nexus_sched.plugins.recent import Recent

RESIDUAL = "residual"
ABSOLUTE = "absolute"
LOG2_MS_MIN, LOG2_MS_MAX = -10.0, 31.3  # a microsecond, a month
CONFIDENCE_SAMPLES = 8.0


class ExtraMissing(NexusError):
    """A package is missing that comes with an extra of this one."""

    code = "EXTRA_MISSING"
    exit_code = 3


class Booster(Protocol):
    """What is used of `lightgbm.Booster`."""

    def predict(self, data: Matrix, **options: object) -> Vector:
        """One number a row."""

    def model_to_string(self) -> str:
        """The trees as text."""


def lightgbm() -> Any:
    """The module, imported when it is first needed. Raises `ExtraMissing`."""
    try:
        return importlib.import_module("lightgbm")
    except (ImportError, OSError) as error:  # OSError: its shared library lacks libgomp
        raise ExtraMissing(
            f"the predictor `boosting` needs LightGBM: pip install 'nexus-sched[ml]' ({error})"
        ) from error


class Model:
    """Predicts from what one file holds. Nothing in it changes, so predictors may share it."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        self.encoder = Encoder(file.header.schema)
        self._adds = file.header.target == RESIDUAL
        self._everything = file.header.residuals[""]
        self._row = np.empty((1, len(COLUMNS)))  # filled anew for every prediction
        library = lightgbm()
        try:
            booster = library.Booster(model_str=file.trees)
            self._booster = cast("Booster", booster)
            self._walk(np.zeros((1, len(COLUMNS))))
        except (library.basic.LightGBMError, ValueError) as error:
            raise ModelUnreadable(f"the trees of {file.called} cannot be read: {error}") from error

    def predict(
        self, task_type: str, payload_bytes: float, worker_class: str, worker: str, recent: Recent, name: str
    ) -> TaskPrediction:
        """The predicted time with its quantiles, signed with `name`.

        A type that the model has not seen runs as it ran of late.
        """
        if not self.encoder.knows(task_type):
            return self._prediction(recent.sum, "recent", self._everything, recent.samples, name)
        self.encoder.fill(self._row[0], task_type, payload_bytes, worker_class, worker, recent)
        told = self._walk(self._row) + (recent.sum if self._adds else 0.0)
        off = self.file.header.residuals.get(task_type, self._everything)
        return self._prediction(told, "trees", off, recent.samples, name)

    def _walk(self, row: Matrix) -> float:
        return float(self._booster.predict(row, num_threads=1, predict_disable_shape_check=True)[0])

    def _prediction(self, told: float, basis: str, off: Quantiles, samples: int, name: str) -> TaskPrediction:
        told = min(max(told, LOG2_MS_MIN), LOG2_MS_MAX)
        header = self.file.header
        within_25 = header.held_out_within_25 if basis == "trees" else header.recent_within_25
        return TaskPrediction(
            exp2(told + off.p50),
            exp2(told) * off.mean_factor,
            exp2(told + off.p80),
            exp2(told + off.p95),
            within_25 * samples / (samples + CONFIDENCE_SAMPLES),
            basis,
            samples,
            name,
            1,
            exp2(told + off.p10),
            exp2(told + off.p90),
        )
