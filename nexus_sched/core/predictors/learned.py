"""The learned predictor: what like runs took, where "like" is learned per type.

The kernel keeps the newest runs of every type and weighs them by payload size, worker class, worker and age
(`csrc/nexus_history.h`). This module is the policy around it: where to look when a type is new, what a
submitter's hint counts, and which workers are not believed.
"""

from __future__ import annotations

from array import array

import msgspec
from msgspec import Struct

from nexus_sched._kernel.digest import digest64
from nexus_sched._kernel.history_table import (
    DOUBTFUL,
    DRIFTED,
    EXPERT_NAMES,
    NEWS,
    NOT_TAKEN,
    UNTOLD,
    YOUNG,
    HistoryTable,
)
from nexus_sched._kernel.history_teller import HistoryTeller
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.core.predictors.quarantine import HeldRun, Quarantine, check_held
from nexus_sched.core.predictors.trust import CONVICTED_PROPORTION, PROPORTION, Trust, check_strikes
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task

HINT_RUNS = 3.0  # a submitter's estimate counts as this many runs ...
HINT_SAMPLES_MAX = 8  # ... until the type has been seen this often
FAMILY_SAMPLES_MAX = 256  # types known well enough no longer teach their family
TYPES_MAX = 4_096
FAMILIES_MAX = 256
EVERYTHING = ""  # the family of all types
FAMILY, ALL_TYPES = STRANGE = ("family", "all types")  # bases of answers from the runs of other types
ALIKE_HALF = 2.0  # effective runs at which confidence is half of the hit rate
EXPERTS = frozenset(EXPERT_NAMES)
NO_FORECAST = (0.0, 0.0, -1, 0.0)  # low, high, samples, p50
NOTHING_TOLD = TaskPrediction(0.0, 0.0, 0.0, 0.0, 0.0, "", -1, "", 0)  # the same
FAMILY_CONFIDENCE = 0.25  # what an answer from the family keeps of its confidence
EVERYTHING_CONFIDENCE = 0.05


class LearnedState(Struct, array_like=True):
    """A snapshot: blobs of the tables, strikes of workers, runs that wait, types that liars have been in.

    A later version may add fields behind these.
    """

    version: int
    types: bytes
    families: bytes
    strikes: dict[str, float]
    held: dict[str, list[HeldRun]] = {}
    stained: list[str] = []


_encode = msgspec.msgpack.Encoder().encode  # keeps the order of strikes, which says who is forgotten first
_decode = msgspec.msgpack.Decoder(LearnedState).decode


def family_of(task_type: str) -> str:
    """The type's name up to the first `.` or `:`; types of one family resemble each other."""
    for index, letter in enumerate(task_type):
        if letter in ".:":
            return task_type[:index]
    return task_type


def _drift_of(task_type: str) -> str:
    return f"drift: {task_type} no longer runs as predicted"


class LearnedPredictor:
    """Nearest runs of the same type, else of its family, else of all types; calibrated intervals; drift and trust."""

    name = "learned"
    version = 1
    knows_workers = True

    def __init__(self, settings: EngineSettings) -> None:
        self._adopt(HistoryTable(TYPES_MAX), HistoryTable(FAMILIES_MAX))
        self._trust = Trust()
        self._quarantine = Quarantine()
        self._stained: dict[str, None] = {}  # types that may hold runs of workers who are not believed any more
        self._samples_min = max(1, settings.min_samples)

    def _adopt(self, types: HistoryTable, families: HistoryTable) -> None:
        """Learn into these tables, and predict from them."""
        self._types, self._families = types, families
        made = TaskPrediction, self.name, self.version, ALIKE_HALF
        self._of_type = HistoryTeller(types, *made)
        self._of_family = HistoryTeller(families, *made, FAMILY_CONFIDENCE, FAMILY)
        self._of_all = HistoryTeller(families, *made, EVERYTHING_CONFIDENCE, ALL_TYPES)

    def predict(self, task: Task, worker: str | None = None, worker_class: str = "") -> TaskPrediction | None:
        """From the type's own runs, or where it has too few: the hint, its family, all types; else `None`."""
        name = worker or ""
        hint_ms = task.hint_ms
        if hint_ms is None or self._types.samples(task.type) >= HINT_SAMPLES_MAX:
            told = self._of_type.tell(task.type, task.payload_bytes, worker_class, name, self._samples_min)
        else:
            told = self._of_type.tell(task.type, task.payload_bytes, worker_class, name, 0, hint_ms, HINT_RUNS)
        if told is None:
            told = self._of_family.tell(family_of(task.type), task.payload_bytes, worker_class, name)
        if told is None:
            told = self._of_all.tell(EVERYTHING, 0.0, worker_class, name)
        return told

    def predict_classes(self, task: Task, classes: tuple[str, ...], means_ms: array[float]) -> bool:
        """Means in ms on each class, from one look at the runs; the same ladder as `predict`. False without data."""
        types = self._types
        hint_ms = task.hint_ms
        if hint_ms is None or types.samples(task.type) >= HINT_SAMPLES_MAX:
            if types.class_means(task.type, task.payload_bytes, classes, means_ms) >= self._samples_min:
                return True
        else:
            types.class_means(task.type, task.payload_bytes, classes, means_ms, hint_ms, HINT_RUNS)
            return True
        families = self._families
        return (
            families.class_means(family_of(task.type), task.payload_bytes, classes, means_ms) > 0
            or families.class_means(EVERYTHING, 0.0, classes, means_ms) > 0
        )

    def learn(self, run: CompletedRun) -> str | None:
        """Take in one run, unless others contradict it. Says so when its worker loses the belief, or of a drift."""
        return self.take(run.task, run.worker, run.worker_class, run.run_ms, run.prediction)

    def take(
        self, task: Task, worker: str, worker_class: str, run_ms: float, told: TaskPrediction | None
    ) -> str | None:
        """The same for a run that nobody else learns from: `told` is what had been predicted for it."""
        if self._quarantine.held or self._trust.strikes:
            return self._take_in_doubt(task.type, (task.payload_bytes, worker_class, worker, run_ms), told)
        if told is None or told.predictor != "learned" or told.basis not in EXPERTS:
            told = NOTHING_TOLD
        taken = self._types.take(
            task.type,
            task.payload_bytes,
            worker_class,
            worker,
            run_ms,
            PROPORTION,
            FAMILY_SAMPLES_MAX,
            told.p10_ms,
            told.p90_ms,
            told.samples,
            told.p50_ms,
        )
        return self._after(taken, task.type, (task.payload_bytes, worker_class, worker, run_ms)) if taken else None

    def _after(self, taken: int, task_type: str, like: tuple[int, str, str, float]) -> str | None:
        """What is to be done with a run that was not simply learned."""
        if taken == NOT_TAKEN:
            return self._doubt(task_type, *like)
        if taken & YOUNG:
            self._teach_family(task_type, like)
        return _drift_of(task_type) if taken & DRIFTED else None

    def _take_in_doubt(
        self, task_type: str, like: tuple[int, str, str, float], told: TaskPrediction | None
    ) -> str | None:
        """The same while runs wait or workers are not believed."""
        trust, worker = self._trust, like[2]
        if task_type in self._stained:
            self._cleanse(task_type)
        waiting = self._quarantine.held.get(task_type)
        said = self._types.testimony(task_type, *like, trust.proportion_for(worker), self._heard(waiting))
        if said == DOUBTFUL:
            return self._doubt(task_type, *like)
        if trust.strikes:
            if said != UNTOLD:
                trust.redeem(worker)
            if not trust.believes(worker):
                return None
        if waiting is not None:
            self._settle(task_type, (*self._heard(waiting), like) if said == NEWS else ())
        return self._teach(task_type, like, self._forecast(told))

    def _teach(
        self, task_type: str, like: tuple[int, str, str, float], forecast: tuple[float, float, int, float] = NO_FORECAST
    ) -> str | None:
        """The type, and while it is new its family; says so when its alarm of drift goes off."""
        drifted = self._types.learn(task_type, *like, *forecast)
        if self._types.samples(task_type) <= FAMILY_SAMPLES_MAX:
            self._teach_family(task_type, like)
        return _drift_of(task_type) if drifted else None

    def _teach_family(self, task_type: str, like: tuple[int, str, str, float]) -> None:
        self._families.push(family_of(task_type), *like)
        self._families.push(EVERYTHING, 0.0, *like[1:])

    # -- trust -------------------------------------------------------------------------------------

    def _doubt(self, task_type: str, payload_bytes: int, worker_class: str, worker: str, run_ms: float) -> str | None:
        """Strike the worker and let its run wait. Whoever is not believed loses the lies that were."""
        samples = self._types.samples(task_type)
        self._quarantine.hold(task_type, HeldRun(payload_bytes, worker_class, worker, run_ms, samples))
        verdict = self.accuse(worker)
        if not self._trust.believes(worker):
            self._cleanse(task_type)
        return verdict

    def accuse(self, worker: str) -> str | None:
        """Strike a worker for what cannot be. Says so when that ends the belief; its lies are then looked for."""
        verdict = self._trust.strike(worker)
        if verdict is not None:
            known = dict.fromkeys(self._types.types_of(worker))
            self._stained = {name: None for name in self._stained if self._types.samples(name)} | known
        return verdict

    def _cleanse(self, task_type: str) -> None:
        """Strike out of a type, and out of what its family heard of it, the lies of all who are not believed.

        What had to wait because of them is heard again.
        """
        told, struck = True, False
        for worker in self._trust.unbelieved():
            lies = self._types.strike_out(task_type, worker, CONVICTED_PROPORTION)
            told = told and lies is not None
            if lies:
                struck = True
                self._families.forget(family_of(task_type), worker, lies)
                self._families.forget(EVERYTHING, worker, [(0, time) for _, time in lies])
        if told:
            self._stained.pop(task_type, None)
        waiting = self._quarantine.held.get(task_type)
        if struck and waiting is not None:
            self._release(task_type, waiting, self._heard(waiting))

    def _heard(self, waiting: list[HeldRun] | None) -> tuple[tuple[int, str, str, float], ...]:
        """The runs that wait and support others like them: of workers that are believed."""
        return tuple(each.told for each in waiting or () if self._trust.believes(each.worker))

    def _settle(self, task_type: str, news: tuple[tuple[int, str, str, float], ...]) -> None:
        """Of the runs that wait, drop what the type has moved on without, and teach what `news` confirm."""
        waiting = self._quarantine.fresh(task_type, self._types.samples(task_type))
        self._quarantine.keep(task_type, waiting)
        if news and waiting:
            self._release(task_type, waiting, news)

    def _release(self, task_type: str, waiting: list[HeldRun], heard: tuple[tuple[int, str, str, float], ...]) -> None:
        """Teach, in order, the runs that nobody contradicts any more, and acquit their workers."""
        confirmed = [each for each in waiting if self._is_confirmed(task_type, each, heard)]
        self._quarantine.keep(task_type, [each for each in waiting if each not in confirmed])
        for each in confirmed:
            self._trust.acquit(each.worker)
            self._teach(task_type, each.told)

    def _is_confirmed(self, task_type: str, run: HeldRun, heard: tuple[tuple[int, str, str, float], ...]) -> bool:
        trust = self._trust
        said = self._types.testimony(task_type, *run.told, trust.proportion_for(run.worker), heard)
        return said != DOUBTFUL and (said != UNTOLD or trust.believes(run.worker))

    def _forecast(self, prediction: TaskPrediction | None) -> tuple[float, float, int, float]:
        """low, high, samples and p50 of what this predictor had said from the type's own runs."""
        if prediction is None or prediction.predictor != self.name or prediction.basis not in EXPERTS:
            return NO_FORECAST
        return prediction.p10_ms, prediction.p90_ms, prediction.samples, prediction.p50_ms

    def _doubts(self) -> tuple[dict[str, float], dict[str, list[HeldRun]], list[str]]:
        """All state but the tables."""
        return self._trust.strikes, self._quarantine.held, list(self._stained)

    def snapshot(self) -> bytes:
        """Everything learned."""
        return _encode(LearnedState(self.version, self._types.snapshot(), self._families.snapshot(), *self._doubts()))

    def restore(self, blob: bytes) -> None:
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`."""
        try:
            state = _decode(blob)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotUnreadable(f"learned state cannot be read: {error}") from error
        if state.version != self.version:
            raise SnapshotUnreadable(f"learned state has version {state.version}, this one reads {self.version}")
        check_strikes(state.strikes)
        check_held(state.held)
        types, families = HistoryTable(TYPES_MAX), HistoryTable(FAMILIES_MAX)
        types.restore(state.types)
        families.restore(state.families)
        self._adopt(types, families)
        self._trust.strikes, self._quarantine.held = state.strikes, state.held
        self._stained = dict.fromkeys(state.stained)

    def digest(self) -> int:
        """Digest of everything learned."""
        return self._types.digest(self._families.digest(digest64(_encode(self._doubts()))))
