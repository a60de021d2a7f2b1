"""Who can be given work: worker records in the order of the ring, mirrored into the columns that are scored.

Law: a record and its row of the `WorkerTable` always agree on slots, credit, acceptance and what is in
flight. The records alone are enough for the fallback; the table alone is enough for the scorer.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from nexus_sched._kernel.pace import DEAD_BAND, Paces
from nexus_sched._kernel.worker_table import WorkerTable
from nexus_sched.core.freeing import LOOK_MAX, slot_free_at_ms
from nexus_sched.core.records import Booking, TaskRecord, WorkerRecord
from nexus_sched.core.resources import Resources
from nexus_sched.core.slices import parts
from nexus_sched.core.worker_classes import WorkerClasses
from nexus_sched.model.events import WorkerJoined
from nexus_sched.model.settings import PREDICTIVE, EngineSettings
from nexus_sched.units import MS_PER_S

CREDIT_MAX = 2**30  # no bound of its own
SHARE_MIN = 0.25  # of its slots is left to a worker, whatever others do there (placement.md, capacity prediction)
REFERENCE_MAX = 0.9  # of the processors that others may use normally
LOAD_KEPT = 0.5  # weight of the former load when a report follows it at once ...
LOAD_AGE_MS = 30_000.0  # ... and half of that after this long
PART_WORKERS = 100  # of a snapshot, taken over at once: about 2 ms
CHANGES_MAX = 4_096
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
        self.paces = Paces(self.table)
        self.tainted = 0  # workers with a taint
        self.standings = array("B")  # by row, padded to the table's capacity
        self.standing_counts = [0] * (SUSPECT + 1)  # workers by standing
        self.stood = 0  # changes of a standing ever seen by this object
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
        if worker.in_flight >= worker.slots:
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

    def restore(self, workers: Iterable[WorkerRecord]) -> Iterator[None]:
        """Take over the workers of a snapshot, in the order of joining, in parts; the table has been restored."""
        for part in parts(workers, PART_WORKERS):
            for worker in part:
                worker.class_index = self.table.class_index(worker.row)
                self._enlist(worker)
                self.tainted += bool(worker.taints)
                self.resources.restore(worker)
                self._set_standing(worker.row, standing_of(worker))
            yield
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
        self.stood += 1
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
        if worker.in_flight >= worker.slots:
            self._expect(worker)
        asks = record.task.asks
        if asks is not None and asks.needs.resources:
            self.resources.take(worker, asks.needs.resources)

    def settle(self, record: TaskRecord, worker: WorkerRecord | None = None) -> TaskRecord | None:
        """A placed task is no longer with its worker (if that is still there); gives the one that starts instead."""
        task, booking = record.task, record.booking
        if worker is None:
            worker = self.by_name.get(record.worker)
        if worker is None or booking is None:
            return None
        started = next_to_start(worker, record) if worker.in_flight > worker.slots else None
        if worker.placed.pop(task.id, None) is None:
            return None
        worker.in_flight -= 1
        self.table.settle(worker.row, booking.booked_ms)
        if task.asks is not None and task.asks.needs.resources:
            self.resources.give(worker, task.asks.needs.resources)
        if started is not None:
            self._begin(started.booked, started)
        if worker.in_flight >= worker.slots:
            self._expect(worker)
        return started

    def _begin(self, booking: Booking, started: TaskRecord) -> None:
        """A task that had to wait for another one starts now."""
        booking.placed_ms = self.now_ms
        if booking.overdue and booking.prediction is not None:  # it had not begun
            booking.overdue = False
            self.rebook(started, booking.prediction.mean_ms)

    def _expect(self, worker: WorkerRecord) -> None:
        """Something has changed at a worker without a free slot: it has room for one more task at another time."""
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
        if worker.in_flight >= worker.slots:
            self._expect(worker)

    def rebook(self, record: TaskRecord, work_ms: float) -> None:
        """A placed task turned out to be another amount of work."""
        booking = record.booked
        worker = self.by_name.get(record.worker)
        if worker is not None and worker.placed.get(record.task.id) is record:
            self.table.settle(worker.row, booking.booked_ms)
            self.table.book(worker.row, work_ms)
            booking.booked_ms = work_ms
            if worker.in_flight >= worker.slots:
                self._expect(worker)
        booking.booked_ms = work_ms


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


def banded(factor: float) -> float:
    """A learned factor as it is used: small differences are noise."""
    return 1.0 if abs(factor - 1.0) <= DEAD_BAND else factor
