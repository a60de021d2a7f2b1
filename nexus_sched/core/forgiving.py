"""Workers that became slow are forgiven step by step: who is given nothing cannot show that it has recovered.

A worker whose pace was found to have changed for the worse is avoided, so no run tells whether that still holds. Its
factor therefore goes half the way back to what it was every `EVERY_MS`; the lower it gets, the longer the tasks that it
is given, so the first that try it are short ones. The run that ends then decides: nearer to the former pace than to the
slow one (in ratios), and the worker is trusted again; else it is as slow as before, and is tried half as often.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from math import sqrt

from nexus_sched._kernel.pace import DEAD_BAND
from nexus_sched.core.pace import SlowedPace
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.roster import Roster

EVERY_MS = 5_000
EVERY_MS_MAX = 300_000
STEP = 0.5  # of the way back


class Forgiving:
    """A heap of `(due, worker)`; what does not fit any more is skipped when it surfaces."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._due: list[tuple[int, str]] = []

    def begin(self, worker: WorkerRecord, former: float, now_ms: int) -> None:
        """A worker has become slow; if it was slow already, it is the pace before that which it may come back to."""
        slowed = worker.slowed
        if slowed is not None:
            former = min(former, slowed.former)
        worker.slowed = SlowedPace(worker.factor, former, EVERY_MS if slowed is None else slowed.every_ms)
        self._watch(worker, worker.slowed, now_ms)

    def judge(self, worker: WorkerRecord, slowed: SlowedPace, ratio: float, now_ms: int) -> None:
        """A run of a slowed worker ended, that took `ratio` times what it takes on an average worker."""
        if ratio < sqrt(slowed.factor * slowed.former):
            worker.slowed = None
            self._roster.paces.restart(worker, worker.row, slowed.former, 1)
            return
        if worker.factor < sqrt(slowed.factor * slowed.former):  # it had been forgiven, and should not have been
            slowed.every_ms, slowed.due_ms = min(2 * slowed.every_ms, EVERY_MS_MAX), 0
            self._roster.paces.set_factor(worker, worker.row, slowed.factor)
        self._watch(worker, slowed, now_ms)

    def tend(self, now_ms: int) -> None:
        """Forgive those whose time has come."""
        due = self._due
        while due and due[0][0] <= now_ms:
            due_ms, name = heappop(due)
            worker = self._roster.by_name.get(name)
            slowed = None if worker is None else worker.slowed
            if worker is None or slowed is None or slowed.due_ms != due_ms:
                continue
            forgiven = worker.factor + STEP * (slowed.former - worker.factor)
            self._roster.paces.set_factor(worker, worker.row, forgiven)
            slowed.due_ms = 0
            if worker.factor > slowed.former * (1.0 + DEAD_BAND):
                self._watch(worker, slowed, now_ms)

    def due_ms(self) -> int | None:
        """When there is something to do even without events; what does not fit any more is dropped on the way."""
        due = self._due
        while due:
            due_ms, name = due[0]
            worker = self._roster.by_name.get(name)
            if worker is not None and worker.slowed is not None and worker.slowed.due_ms == due_ms:
                return due_ms
            heappop(due)
        return None

    def restore(self, ring: Iterable[WorkerRecord]) -> None:
        """Watch all that are slowed, of a snapshot."""
        for worker in ring:
            if worker.slowed is not None and worker.slowed.due_ms:
                heappush(self._due, (worker.slowed.due_ms, worker.name))

    def _watch(self, worker: WorkerRecord, slowed: SlowedPace, now_ms: int) -> None:
        if slowed.due_ms < now_ms + slowed.every_ms // 2:  # else it is near enough, however many runs confirm it
            slowed.due_ms = now_ms + slowed.every_ms
            heappush(self._due, (slowed.due_ms, worker.name))
