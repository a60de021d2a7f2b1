"""Workers held free for tasks that others keep overtaking.

What finds no feasible worker lets others pass, and small tasks may then keep every worker too full for a large one. A
task that has been refused for longer than `c * predicted + reserve_after_ms` reserves the feasible worker that will be
free first: nobody else is given to it until that task has been placed, wherever that is.

Laws
* At most `SHARE_MAX` of the fleet is reserved, or one worker, and never more than `COUNT_MAX`.
* A reservation ends in the turn in which its task is placed, is cancelled or meets a limit, and when its worker leaves
  or is not given tasks any more.
* A reserved worker does not accept, whatever opened it in between; it is open for as long as its own task is tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from nexus_sched.core.delays import Timers
from nexus_sched.core.eligibility import worth_ms
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.core.resources import fits
from nexus_sched.core.roster import Roster
from nexus_sched.model.terms import Bounds

SHARE_MAX = 0.1
COUNT_MAX = 128  # all of them are tried in every turn, and a turn may place 256 tasks


class Reservations:
    """Who holds which worker, and who has been refused for how long (`History.reserve_at_ms`)."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._held: dict[str, WorkerRecord] = {}  # by task id
        self._timers = Timers()

    def __len__(self) -> int:
        return len(self._held)

    def holder_of(self, worker: str) -> str:
        """The task that a worker is held free for, empty if there is none."""
        return next((task_id for task_id, held in self._held.items() if held.name == worker), "")

    def refused(self, record: TaskRecord, patience_ms: float, now_ms: int) -> None:
        """No open worker is feasible for this task, whose turn it is; it puts up with that for `patience_ms`."""
        history = record.remembered()
        if not history.reserve_at_ms:
            history.reserve_at_ms = now_ms + max(1, math.ceil(patience_ms))
            self._timers.add(record, history.reserve_at_ms)
        elif now_ms >= history.reserve_at_ms and record.task.id not in self._held:
            self._reserve(record)

    def _reserve(self, record: TaskRecord) -> None:
        roster = self._roster
        if len(self._held) >= min(COUNT_MAX, max(1, int(SHARE_MAX * len(roster.ring)))):
            return
        needs = record.task.terms.needs
        best, best_ms = None, math.inf
        for worker in roster.ring if needs.bounds is None else _within(needs.bounds, roster):
            if not worker.accepting or worth_ms(worker, needs) == math.inf:
                continue
            if not fits(worker, needs.resources, ever=True):
                continue
            free_ms = roster.table.booked_ms(worker.row) / worker.slots
            if free_ms < best_ms:
                best, best_ms = worker, free_ms
        if best is not None:
            self._held[record.task.id] = best
            self._close(best)

    def _close(self, worker: WorkerRecord) -> None:
        worker.accepting = False
        self._roster.table.set_accepting(worker.row, False)

    def tried(self, tasks: Mapping[str, TaskRecord], now_ms: int) -> Iterator[TaskRecord]:
        """Each task that holds a worker, with that worker open to it. Whoever still waits then holds on.

        A task that should not hold on has its `reserve_at_ms` set to 0.
        """
        self._timers.due(now_ms)
        for task_id, worker in list(self._held.items()):
            record = tasks.get(task_id)
            if self._roster.by_name.get(worker.name) is worker:
                self._roster.refresh(worker)  # to where it stands without a reservation
                if worker.accepting and record is not None and record.ticket > 0:
                    yield record
                    if record.ticket > 0 and record.past.reserve_at_ms:
                        self._close(worker)
                        continue
            del self._held[task_id]

    def due_ms(self) -> int | None:
        """When a refused task may reserve, `None` if none waits for that."""
        return self._timers.next_ms()

    def snapshot(self) -> list[tuple[str, str]]:
        """`(task id, worker)`, the oldest first; since when tasks are refused is with the records."""
        return [(task_id, worker.name) for task_id, worker in self._held.items()]

    def restore(self, state: list[tuple[str, str]]) -> None:
        """The opposite of `snapshot`; workers are there already. `watch` the tasks besides."""
        for task_id, name in state:
            worker = self._held[task_id] = self._roster.by_name[name]
            worker.accepting = False  # the table knows

    def watch(self, records: Iterable[TaskRecord], now_ms: int) -> None:
        """Remember when those of a snapshot that were refused may reserve."""
        for record in records:
            history = record.history
            if history is not None and record.ticket > 0 and history.reserve_at_ms > now_ms:
                self._timers.add(record, history.reserve_at_ms)


def _within(bounds: Bounds, roster: Roster) -> list[WorkerRecord]:
    """The workers that a pin leaves, so that a task whose worker is away costs no look at all the others."""
    if not bounds.only:
        return roster.ring
    worker = roster.by_name.get(bounds.only)
    return [] if worker is None else [worker]
