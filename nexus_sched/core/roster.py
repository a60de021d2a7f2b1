"""Who can be given work: worker records in the order of the ring, mirrored into the columns that are scored.

Law: a record and its row of the `WorkerTable` always agree on slots, credit, acceptance and what is in
flight. The records alone are enough for the fallback; the table alone is enough for the scorer.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import islice
from math import sqrt

from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.core.freeing import LOOK_MAX, slot_free_at_ms
from nexus_sched.core.records import DOUBT_AT_FIRST, TaskRecord, WorkerRecord
from nexus_sched.core.resources import Resources
from nexus_sched.core.worker_classes import WorkerClasses
from nexus_sched.model.events import WorkerJoined
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import PREDICTIVE, EngineSettings
from nexus_sched.units import MS_PER_S

# How fast a worker's factor follows, how far it may go, and how many average completions it starts with.
FACTOR_ALPHA = 0.05
FACTOR_MIN, FACTOR_MAX = 0.05, 20.0
FACTOR_DRIFT = 2e-4  # variance that a factor gains from run to run: what was known of it wears off
RUN_SPREAD_MIN = 0.25  # relative; predictions are not better than that (core.pace)
FACTOR_PRIOR_SAMPLES = 4.0  # shrinkage n / (n + k) toward 1 (prediction.md, fact 2)
TYPICAL_ALPHA = 0.002  # follows 500 runs of anybody, while the factor of a worker follows 20 of its own
TYPICAL_MIN, TYPICAL_MAX = 0.5, 2.0
FACTOR_DEAD_BAND = 0.1  # the choice ignores smaller differences, else it chases noise (placement.md, fact 3) ...
DEAD_BAND_ERRORS = 2.0  # ... and what may be chance: so many standard errors
CREDIT_MAX = 2**30  # no bound of its own
PACE_MIN, PACE_MAX = 0.25, 4.0  # beyond what was predicted for this very worker
PACE_RETURN = 3.0  # it returns to 1 this much faster: a predictor that gets to know a worker must not be corrected too
SURPRISE_MAX = 1.0  # of one run: three times as long as predicted, or a third
SPREAD_HALF = 0.5  # predicted relative spread at which a run says half as much as a certain one
PACE_STEP_MAX = 0.5
SHARE_MIN = 0.25  # of its slots is left to a worker, whatever others do there (placement.md, capacity prediction)
REFERENCE_MAX = 0.9  # of the processors that others may use normally
LOAD_KEPT = 0.5  # weight of the former load when a report follows it at once ...
LOAD_AGE_MS = 30_000.0  # ... and half of that after this long
CHANGES_MAX = 4_096
P10_TO_P90 = 2.563103  # standard deviations from the 10th to the 90th percentile
# Where a worker stands, as a number (csrc/nexus_bill.h); the first is for rows without one.
NOBODY, ACCEPTING, DRAINING, CORDONED, BROKEN, SUSPECT = range(6)


class Roster:
    """The live workers of a pool."""

    def __init__(self) -> None:
        self.table = WorkerTable()
        self.ring: list[WorkerRecord] = []  # in order of joining
        self.by_name: dict[str, WorkerRecord] = {}
        self.by_row: dict[int, WorkerRecord] = {}
        self.classes = WorkerClasses()
        self.resources = Resources(self.table)
        self.typical = 1.0  # learned: measured / predicted over all workers
        self.tainted = 0  # workers with a taint
        self.standings = array("B")  # by row, padded to the table's capacity
        self.standing_counts = [0] * (SUSPECT + 1)  # workers by standing
        self.accepting_count = 0  # of these, for whoever needs them often
        self.aside: tuple[int, ...] = (0,) * (SUSPECT - ACCEPTING)  # draining, cordoned, broken, suspect
        self.now_ms = 0  # instant of the current turn
        self.changed = 0  # joins, returns and departures ever seen by this object
        self._changes: list[int] = []  # rows of the last of them

    def begin_turn(self, now_ms: int) -> None:
        """Time has passed, and so has some of what waits."""
        self.now_ms = now_ms
        self.table.set_now(float(now_ms))

    def join(self, event: WorkerJoined, settings: EngineSettings, mode: str, now_ms: int) -> WorkerRecord:
        """A new worker, or a new incarnation of a known one, which keeps what it has not started."""
        worker = self.by_name.get(event.worker)
        row = self.table.join(event.worker, event.slots, event.slots, float(now_ms))
        if worker is None:
            worker = WorkerRecord(event.worker, row, event.slots, event.worker_class, event.incarnation)
            self._enlist(worker)
        else:
            self.classes.leave(worker.worker_class)
            worker.slots = event.slots
            worker.worker_class = event.worker_class
            worker.incarnation = event.incarnation
        worker.class_index = self.classes.enter(worker.worker_class)
        self.table.set_class(row, worker.class_index)
        self.tainted += bool(event.taints) - bool(worker.taints)
        worker.labels, worker.taints = event.labels, event.taints
        worker.silence_ms = event.silence_ms
        self.resources.offer(worker, event.resources)
        self._note(row)
        worker.draining = worker.suspect = False
        worker.heard_at_ms = now_ms
        self.grant_credit(worker, settings, mode)
        self.refresh(worker)
        self._expect(worker)
        return worker

    def _note(self, row: int) -> None:
        """Who keeps something by row has to look at this one again."""
        self.changed += 1
        self._changes.append(row)
        if len(self._changes) > CHANGES_MAX:
            del self._changes[: CHANGES_MAX // 2]

    def changes_since(self, seen: int) -> Sequence[int]:
        """Rows to look at again for somebody who has seen the first `seen` changes; -1: all that there are."""
        missing = self.changed - seen
        if seen < 0 or missing > len(self._changes):
            return range(self.table.rows)
        return self._changes[len(self._changes) - missing :]

    def change_offer(
        self, worker: WorkerRecord, labels: dict[str, str] | None, resources: dict[str, float] | None
    ) -> None:
        """A live worker has other labels or resources than before; `None`: as before."""
        if labels is not None:
            worker.labels = labels
        if resources is not None:
            self.resources.offer(worker, resources)
        self._note(worker.row)

    def _enlist(self, worker: WorkerRecord) -> None:
        self.ring.append(worker)
        self.by_name[worker.name] = self.by_row[worker.row] = worker

    def restore(self, workers: Iterable[WorkerRecord]) -> None:
        """Take over the workers of a snapshot, in the order of joining; the table has been restored."""
        for worker in workers:
            worker.class_index = self.table.class_index(worker.row)
            self._enlist(worker)
            self.tainted += bool(worker.taints)
            self.resources.restore(worker)
            self._set_standing(worker.row, standing_of(worker))
        self.classes.restore((worker.worker_class, worker.class_index) for worker in self.ring)

    def leave(self, worker: WorkerRecord) -> None:
        """Strike a worker off. Its records must have been unplaced before."""
        self.classes.leave(worker.worker_class)
        self.resources.withdraw(worker)
        self.tainted -= bool(worker.taints)
        self._note(worker.row)
        self._set_standing(worker.row, NOBODY)
        self.table.leave(worker.row)
        self.ring.remove(worker)
        del self.by_name[worker.name], self.by_row[worker.row]

    def grant_credit(self, worker: WorkerRecord, settings: EngineSettings, mode: str) -> None:
        """How many tasks it may hold: its slots and a little, or a whole inbox where round robin binds early."""
        extra = settings.prefetch if mode == PREDICTIVE else settings.early_inbox_max
        worker.credit = min(worker.slots + extra, worker.trial or CREDIT_MAX, worker.ramp or CREDIT_MAX)
        self.table.set_credit(worker.row, worker.credit)

    def refresh(self, worker: WorkerRecord) -> None:
        """Let the standing of a worker take effect."""
        standing = standing_of(worker)
        worker.accepting = standing == ACCEPTING
        self.table.set_accepting(worker.row, worker.accepting)
        self._set_standing(worker.row, standing)

    def _set_standing(self, row: int, standing: int) -> None:
        standings, counts = self.standings, self.standing_counts
        missing = self.table.capacity - len(standings)
        if missing > 0:
            standings.extend(bytes(missing))
        counts[standings[row]] -= 1
        counts[standing] += 1
        standings[row] = standing
        _, self.accepting_count, *others = counts
        self.aside = tuple(others)

    def silence_s(self, name: str) -> float:
        """How long a worker said that it may be silent, 0 if it said nothing or is not there."""
        worker = self.by_name.get(name)
        return 0.0 if worker is None else worker.silence_ms / MS_PER_S

    def set_health(self, worker: WorkerRecord, health_ms: float) -> None:
        """What the failures of a worker cost, for the score."""
        self.table.set_bias(worker.row, health_ms)

    def heard(self, worker: WorkerRecord, now_ms: int) -> None:
        """A fact about this worker arrived."""
        worker.heard_at_ms = now_ms
        self.table.heard(worker.row, float(now_ms))

    def book(self, worker: WorkerRecord, record: TaskRecord) -> None:
        """A task goes into the worker's inbox; its booking says when it is expected to start."""
        worker.in_flight += 1
        worker.placed[record.task.id] = record
        self.table.book(worker.row, record.booked.booked_ms)
        self._expect(worker)
        asks = record.task.asks
        if asks is not None and asks.needs.resources:
            self.resources.take(worker, asks.needs.resources)

    def settle(self, record: TaskRecord) -> TaskRecord | None:
        """A placed task is no longer with its worker (if that is still there); gives the one that starts instead."""
        worker = self.by_name.get(record.worker)
        if worker is None or record.task.id not in worker.placed:
            return None
        started = next_to_start(worker, record)
        del worker.placed[record.task.id]
        worker.in_flight -= 1
        self.table.settle(worker.row, record.booked.booked_ms)
        asks = record.task.asks
        if asks is not None and asks.needs.resources:
            self.resources.give(worker, asks.needs.resources)
        if started is not None:
            booking = started.booked
            booking.placed_ms = self.now_ms
            if booking.overdue and booking.prediction is not None:  # it had not begun
                booking.overdue = False
                self.rebook(started, booking.prediction.mean_ms)
        self._expect(worker)
        return started

    def _expect(self, worker: WorkerRecord) -> None:
        """Something has changed at a worker: it has room for one more task at another time, if it has none now."""
        if worker.in_flight >= worker.slots:
            table, row = self.table, worker.row
            table.set_free_at(row, slot_free_at_ms(worker, table.booked_ms(row), table.share(row), self.now_ms))

    def take_load(self, worker: WorkerRecord, cpu: float, running: int, reference: float, now_ms: int) -> None:
        """A report says how busy the worker's processors are: what others take there shortens its slots.

        Each running task is taken to use one slot's part of the machine, so what is used beyond that is others'. The
        older the last report is, the less it still counts.
        """
        external = min(max(cpu - running / worker.slots, 0.0), 1.0)
        normal = min(max(reference, 0.0), REFERENCE_MAX)
        share = min(max((1.0 - external) / (1.0 - normal), SHARE_MIN), 1.0)
        age_ms = max(0, now_ms - worker.load_at_ms)
        former = self.table.share(worker.row)
        step = 1.0 - LOAD_KEPT / (1.0 + age_ms / LOAD_AGE_MS)
        self.table.set_share(worker.row, former + step * (share - former))
        worker.load_at_ms = now_ms
        self._expect(worker)

    def rebook(self, record: TaskRecord, work_ms: float) -> None:
        """A placed task turned out to be another amount of work."""
        booking = record.booked
        worker = self.by_name.get(record.worker)
        if worker is not None and worker.placed.get(record.task.id) is record:
            self.table.settle(worker.row, booking.booked_ms)
            self.table.book(worker.row, work_ms)
            booking.booked_ms = work_ms
            self._expect(worker)
        booking.booked_ms = work_ms

    def learn_factor(
        self, worker: WorkerRecord, run_ms: float, class_ms: float, prediction: TaskPrediction | None = None
    ) -> None:
        """Move the worker's factor towards measured / predicted-for-its-class; `prediction` has the shape of the run.

        A run counts by the inverse of its variance, what is known already by that of `doubt`, which grows a little with
        every run, as paces change (decision 0037). What predictions miss on the whole fleet is `typical`, and no
        worker's own: a factor is a pace among others.
        """
        if class_ms <= 0.0 or run_ms <= 0.0:
            return
        median, spread = _shape(prediction)
        typical_ms = self.typical * median * class_ms
        worker.samples += 1
        step = worker.doubt / (worker.doubt + _noise(spread))
        worker.doubt = (1.0 - step) * worker.doubt + FACTOR_DRIFT
        self.set_factor(worker, worker.factor * (1.0 + step * _surprise(run_ms, worker.factor * typical_ms)))
        if prediction is not None:
            step = TYPICAL_ALPHA / (1.0 + (spread / SPREAD_HALF) ** 2)
            self.typical *= 1.0 + step * _surprise(run_ms, typical_ms)
            self.typical = min(max(self.typical, TYPICAL_MIN), TYPICAL_MAX)

    def restart_factor(self, worker: WorkerRecord, factor: float, samples: int) -> None:
        """The worker's pace has changed: its factor is what the last `samples` runs say, and follows quickly again."""
        worker.samples, worker.pace_samples, worker.pace = samples, 0, 1.0
        worker.doubt = DOUBT_AT_FIRST / (1.0 + samples)
        self.set_factor(worker, factor)

    def set_factor(self, worker: WorkerRecord, factor: float) -> None:
        """Take a factor as it is, within its bounds."""
        worker.factor = min(max(factor, FACTOR_MIN), FACTOR_MAX)
        self.table.set_factor(worker.row, significant(worker))

    def learn_pace(self, worker: WorkerRecord, run_ms: float, record: TaskRecord) -> None:
        """Move the worker's pace towards measured / predicted for this very worker; 1 if the predictor knows it."""
        booking = record.booked
        prediction = booking.prediction
        if prediction is None or prediction.p50_ms <= 0.0 or run_ms <= 0.0:
            return
        surprise = _surprise(run_ms, prediction.p50_ms / booking.pace * worker.pace)
        worker.pace_samples += 1
        step = _step(worker.pace_samples, _shape(prediction)[1])
        if (worker.pace - 1.0) * surprise < 0.0:
            step = min(step * PACE_RETURN, PACE_STEP_MAX)
        worker.pace = min(max(worker.pace * (1.0 + step * surprise), PACE_MIN), PACE_MAX)


def _surprise(run_ms: float, median_ms: float) -> float:
    """How far a run is from its median: bounded, and odd in the logarithm of the ratio, so heavy tails bend nothing."""
    surprise = 2.0 * (run_ms - median_ms) / (run_ms + median_ms)
    return min(max(surprise, -SURPRISE_MAX), SURPRISE_MAX)


def _shape(prediction: TaskPrediction | None) -> tuple[float, float]:
    """Median / mean of what was predicted, and its relative spread."""
    if prediction is None or prediction.p50_ms <= 0.0 or prediction.mean_ms <= 0.0:
        return 1.0, SPREAD_HALF
    width_ms = prediction.p90_ms - prediction.p10_ms
    spread = width_ms / (P10_TO_P90 * prediction.p50_ms) if width_ms > 0.0 else SPREAD_HALF
    return prediction.p50_ms / prediction.mean_ms, spread


def _noise(spread: float) -> float:
    """Variance of a run's surprise, which is bounded however wide the prediction was."""
    variance = max(spread, RUN_SPREAD_MIN) ** 2
    return variance / (1.0 + variance)


def _step(samples: int, spread: float) -> float:
    """What one more run counts: less the more there were, and less the wider its prediction was."""
    return max(FACTOR_ALPHA, 1.0 / (samples + FACTOR_PRIOR_SAMPLES)) / (1.0 + (spread / SPREAD_HALF) ** 2)


def standing_of(worker: WorkerRecord) -> int:
    """The first reason for which a worker takes no tasks, `ACCEPTING` if there is none."""
    if worker.draining:
        return DRAINING
    if worker.cordoned:
        return CORDONED
    if worker.broken:
        return BROKEN
    return SUSPECT if worker.suspect else ACCEPTING


def next_to_start(worker: WorkerRecord, record: TaskRecord) -> TaskRecord | None:
    """What starts when a placed task leaves its worker: the oldest behind the slots, if the task is in one of them."""
    slots = worker.slots
    if worker.in_flight <= slots or slots > LOOK_MAX:
        return None
    oldest = list(islice(worker.placed.values(), slots + 1))
    return oldest.pop() if record in oldest[:slots] else None


def significant(worker: WorkerRecord) -> float:
    """The factor that the choice goes by: 1 unless what was learned is far from it and unlikely to be chance."""
    band = max(FACTOR_DEAD_BAND, DEAD_BAND_ERRORS * sqrt(worker.doubt) * worker.factor)
    return worker.factor if abs(worker.factor - 1.0) > band else 1.0


def banded(factor: float) -> float:
    """A learned factor as it is used: small differences are noise."""
    return 1.0 if abs(factor - 1.0) <= FACTOR_DEAD_BAND else factor
