"""What a simulation runs: tasks, workers, what happens to them, and the truth about every placement.

Law: a workload is drawn in full before the first policy sees it, and every policy runs the very same one. How long a
task takes is a pure function of the task, the worker and the instant of its start (`Truth`); no policy changes it. Only
where tasks have affinity keys, what ran on the worker before adds to it (`Warmth`).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nexus_sched.model.task import PRIORITY_DEFAULT, Task
from nexus_sched.model.terms import Terms

ASKS = Terms(eta=True)  # every simulated task wants to know when it will end


class FleetWorker(Struct, frozen=True):
    """One simulated worker. `slowness` multiplies every run time: 2 is half as fast."""

    name: str
    slots: int = 1
    worker_class: str = ""
    column: int = 0  # of the truth's table
    slowness: float = 1.0
    labels: dict[str, str] = {}
    taints: tuple[str, ...] = ()
    resources: dict[str, float] = {}
    late: bool = False  # it is not there before a fault says that it joins


class Spell(Struct, frozen=True):
    """A stretch of time in which a worker is `factor` times as slow; runs that start in it are."""

    worker: int  # index into the fleet
    from_ms: float
    until_ms: float
    factor: float


class Fault(Struct, frozen=True):
    """A worker dies without a word, comes back (`joins`) with an empty memory, or says good-bye (`leaves`)."""

    at_ms: float
    worker: int
    joins: bool = False
    leaves: bool = False  # it ends what it runs, and starts nothing more


class Warmth(Struct, frozen=True):
    """What a task with an affinity key takes longer on a worker that has not used the key lately."""

    cold_ms: float
    keys: int  # the newest ones that a worker remembers


class Truth:
    """How long each task takes on each worker: `scale[task] * table[row of task][column of worker] * slowness`.

    In a generated workload a row is a task type, a column a worker class, and the scale is the task's own length; in
    a measured matrix a row is one task instance with its measured milliseconds, and all scales are 1.
    """

    def __init__(
        self,
        table: NDArray[np.float64],  # rows x columns
        rows: NDArray[np.int64],  # of each task
        scales: NDArray[np.float64],  # of each task
        workers: Sequence[FleetWorker],
        spells: Sequence[Spell] = (),
    ) -> None:
        self._parts = (table, rows, scales)
        self._table: list[list[float]] = table.tolist()
        self._rows: list[int] = rows.tolist()
        self._scales: list[float] = scales.tolist()
        self._columns = [worker.column for worker in workers]
        self._slowness = [worker.slowness for worker in workers]
        self._spells = {spell.worker: spell for spell in spells}
        self._by_worker = table[:, self._columns] * np.array(self._slowness)  # rows x workers
        least = self._by_worker.min(axis=1)
        self.fastest_ms: list[float] = (scales * least[rows]).tolist()
        self.mean_ms: list[float] = (scales * self._by_worker.mean(axis=1)[rows]).tolist()  # over the fleet

    def run_ms(self, task: int, worker: int, at_ms: float) -> float:
        """Service time of a task that starts on a worker now."""
        base_ms = self._scales[task] * self._table[self._rows[task]][self._columns[worker]] * self._slowness[worker]
        spell = self._spells.get(worker) if self._spells else None
        if spell is not None and spell.from_ms <= at_ms < spell.until_ms:
            return base_ms * spell.factor
        return base_ms

    def on(self, workers: Sequence[FleetWorker]) -> Truth:
        """The same tasks on another fleet, without spells."""
        return Truth(*self._parts, workers)

    def without_spells(self) -> Truth:
        """The same, but for the spells."""
        calm = copy(self)
        calm._spells = {}
        return calm

    def on_all_ms(self, task: int, at_ms: float) -> NDArray[np.float64]:
        """The same for every worker, in the order of the fleet."""
        every: NDArray[np.float64] = self._scales[task] * self._by_worker[self._rows[task]]
        for spell in self._spells.values():
            if spell.from_ms <= at_ms < spell.until_ms:
                every[spell.worker] *= spell.factor
        return every


class Workload(Struct, frozen=True):
    """Tasks in the order of arrival; the id of a task is its number."""

    scenario: str
    tasks: list[Task]
    arrivals_ms: list[float]
    types: list[str]
    type_of: list[int]  # of each task, into `types`
    predictable: list[bool]  # by type: the noise around the best prediction has a sigma of at most 0.2
    workers: list[FleetWorker]
    truth: Truth
    faults: Sequence[Fault] = ()
    warmth: Warmth | None = None
    rtt_ms: float = 1.0
    epoch_ms: int = 0  # what the clock of the scheduler shows at instant 0


def capacity_per_ms(
    table: NDArray[np.float64],
    rows: NDArray[np.int64],
    scales: NDArray[np.float64],
    workers: Sequence[FleetWorker],
) -> float:
    """Tasks that the fleet ends in a millisecond if no slot is ever idle: the sum over workers of slots / mean time."""
    means_ms = (scales[:, None] * table[rows]).mean(axis=0)  # by column
    return float(sum(each.slots / (means_ms[each.column] * each.slowness) for each in workers))


def make_tasks(
    types: Sequence[str],
    type_of: Sequence[int],
    payload_bytes: Sequence[int],
    arrivals_ms: Sequence[float],
    asks: Sequence[Terms] | None = None,
) -> list[Task]:
    """The tasks of a workload from its columns; without `asks` they ask for nothing but an estimate."""
    terms = asks or [ASKS] * len(type_of)
    return [
        Task(str(number), types[kind], PRIORITY_DEFAULT, size, int(arrival_ms), asks=asked)
        for number, (kind, size, arrival_ms, asked) in enumerate(
            zip(type_of, payload_bytes, arrivals_ms, terms, strict=True)
        )
    ]
