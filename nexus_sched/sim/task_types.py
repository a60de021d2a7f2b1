"""The mix of task types that generated workloads draw from.

Chosen, not measured: types from a tenth of a second to twenty, the short ones frequent, most of them predictable once
type and size are known, some of them not. Over the mix the standard deviation of a duration is about twice its mean.
The noise of the predictable ones is that of the benchmarks in the Azure vm-noise-data set within one machine, whose
coefficients of variation are 0.03 to 0.15.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

PREDICTABLE_SIGMA_MAX = 0.2  # with log-normal noise of this sigma four of five tasks are within 25 % of their median
SIZE_MEDIAN_BYTES = 1_000_000.0


class TaskType(Struct, frozen=True):
    """One kind of task: log-normal around a median, which grows in proportion to the payload where sizes vary."""

    name: str
    median_ms: float
    sigma: float  # of ln duration, once type and size are known
    share: float  # of all tasks
    size_sigma: float = 0.0  # of ln payload size

    @property
    def predictable(self) -> bool:
        """Whether a good prediction is mostly within 25 %."""
        return self.sigma <= PREDICTABLE_SIGMA_MAX


MIX = (
    TaskType("cache.get", 100.0, 0.08, 0.25),
    TaskType("cache.put", 200.0, 0.10, 0.15),
    TaskType("mail.send", 500.0, 0.30, 0.12),
    TaskType("page.render", 1_000.0, 0.12, 0.14),
    TaskType("image.resize", 750.0, 0.10, 0.12, size_sigma=0.8),
    TaskType("index.update", 2_000.0, 0.50, 0.08),
    TaskType("report.build", 5_000.0, 0.12, 0.06),
    TaskType("video.encode", 7_500.0, 0.15, 0.04, size_sigma=0.7),
    TaskType("archive.scan", 4_000.0, 1.00, 0.03),
    TaskType("model.fit", 20_000.0, 0.30, 0.01),
)
SHORT = (TaskType("ping", 22.0, 0.20, 1.0),)


class DrawnTasks(Struct, frozen=True):
    """Columns, one element a task."""

    types: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]
    durations_ms: NDArray[np.float64]  # on a worker of slowness 1


def draw_tasks(mix: tuple[TaskType, ...], count: int, random: np.random.Generator) -> DrawnTasks:
    """`count` tasks of the mix."""
    shares = np.array([kind.share for kind in mix])
    types = random.choice(len(mix), size=count, p=shares / shares.sum())
    size_sigmas = np.array([kind.size_sigma for kind in mix])[types]
    sizes = np.exp(size_sigmas * random.standard_normal(count))
    noise = np.exp(np.array([kind.sigma for kind in mix])[types] * random.standard_normal(count))
    payload_bytes = np.where(size_sigmas > 0.0, np.maximum(1.0, np.rint(sizes * SIZE_MEDIAN_BYTES)), 0.0)
    durations_ms = np.array([kind.median_ms for kind in mix])[types] * sizes * noise
    return DrawnTasks(types, payload_bytes.astype(np.int64), durations_ms)
