"""Tasks that run longer than predicted: the longer, the more work they are taken to have left.

Without this, earliest-completion placement is worse than joining the shortest queue (placement.md, fact 5). Once a
task has been with its worker for longer than was booked for it, the booking becomes what has passed plus half of that
again; then it is looked at again when that has passed, so a task is corrected a logarithmic number of times.

Messages travel: to the worker, and back when a run has ended. On a busy server that takes longer than short tasks do,
and none of these would ever be in time. So the 90th percentile of what runs were away beyond what they took is tracked,
and a run is late only after that (decision 0043).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush, nsmallest

from nexus_sched.core.records import Booking, TaskRecord
from nexus_sched.core.roster import Roster

STALE_MAX = 1_024  # entries of tasks that ended long before their due time; more than that are swept out
REMAINING_SHARE = 0.5  # of the time that has passed (prediction.md, building blocks)
TRANSIT_GAIN = 0.05  # of the percentile, and of a millisecond where that is more, for each run
TRANSIT_SHARE = 0.9  # of runs that are back within the percentile
TRANSIT_MS_MAX = 1_000.0  # a worker that is silent for longer is not on its way


class Overdue:
    """A heap of `(due, task id, attempt)`; what has moved on since is skipped when it surfaces."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str, int]] = []
        self.late: list[TaskRecord] = []  # corrected by the last call of `correct`
        self.transit_ms = 0.0  # the percentile of what messages take

    def watch(self, record: TaskRecord, wait_ms: float, now_ms: int) -> None:
        """A task has been placed and is expected to start in `wait_ms`; without a prediction nothing is watched."""
        booking = record.booked
        if booking.prediction is None:
            booking.placed_ms = now_ms
            return
        booking.placed_ms = now_ms + round(wait_ms)
        booking.due_ms = booking.placed_ms + max(1, round(booking.booked_ms + self.transit_ms))
        heappush(self._heap, (booking.due_ms, record.task.id, record.attempt))

    def begin(self, record: TaskRecord, now_ms: int) -> None:
        """A placed task that had to wait for another one starts now."""
        booking = record.booked
        booking.placed_ms = now_ms
        if booking.due_ms:
            self.resume(record)

    def returned(self, booking: Booking, run_ms: float, now_ms: int) -> None:
        """A run has ended well, and took so long; the rest of the time since it was to start, messages took."""
        transit_ms = self.transit_ms
        step = TRANSIT_GAIN * max(transit_ms, 1.0)
        if now_ms - booking.placed_ms - run_ms > transit_ms:
            self.transit_ms = min(transit_ms + TRANSIT_SHARE * step, TRANSIT_MS_MAX)
        else:
            self.transit_ms = max(0.0, transit_ms - (1.0 - TRANSIT_SHARE) * step)

    def correct(self, tasks: Mapping[str, TaskRecord], roster: Roster, now_ms: int) -> int:
        """Raise the bookings of all tasks that are overdue by now; gives how many became so for the first time."""
        if len(self._heap) > 2 * len(tasks) + STALE_MAX:
            self._heap = []
            self.restore(tasks.values())
        heap, fresh = self._heap, 0
        self.late = []
        while heap and heap[0][0] < now_ms:
            due_ms, task_id, attempt = heappop(heap)
            record = tasks.get(task_id)
            booking = _booking(record, attempt, due_ms)
            if record is None or booking is None:
                continue
            passed_ms = now_ms - booking.placed_ms
            fresh += not booking.overdue
            booking.overdue = True
            self.late.append(record)
            total_ms = passed_ms * (1.0 + REMAINING_SHARE)
            roster.rebook(record, total_ms)
            booking.due_ms = booking.placed_ms + max(round(total_ms), passed_ms + 1)
            heappush(heap, (booking.due_ms, task_id, attempt))
        return fresh

    def due_ms(self, tasks: Mapping[str, TaskRecord]) -> int | None:
        """When the next task becomes overdue, or more so; what has ended in the meantime is dropped on the way."""
        heap = self._heap
        while heap:
            due_ms, task_id, attempt = heap[0]
            if _booking(tasks.get(task_id), attempt, due_ms) is not None:
                return due_ms + 1
            heappop(heap)
        return None

    def resume(self, record: TaskRecord) -> None:
        """Watch a run from when it started on, whatever was expected before; so of a copy that is now the only run."""
        booking = record.booked
        booking.due_ms = booking.placed_ms + max(1, round(booking.booked_ms + self.transit_ms))
        heappush(self._heap, (booking.due_ms, record.task.id, record.attempt))

    def soonest_ms(self, tasks: Mapping[str, TaskRecord], index: int) -> int:
        """When the `index`-th of all placed tasks is expected to end, in milliseconds since the epoch; 0 if fewer are.

        Looks at all of them.
        """
        valid = (
            due_ms
            for due_ms, task_id, attempt in self._heap
            if _booking(tasks.get(task_id), attempt, due_ms) is not None
        )
        soonest = nsmallest(index + 1, valid)
        return soonest[index] if len(soonest) > index else 0

    def restore(self, records: Iterable[TaskRecord]) -> None:
        """Watch all that are placed: of a snapshot, or to be rid of what has ended."""
        for record in records:
            booking = record.booking
            if booking is not None and booking.due_ms:
                heappush(self._heap, (booking.due_ms, record.task.id, record.attempt))


def _booking(record: TaskRecord | None, attempt: int, due_ms: int) -> Booking | None:
    """The booking that a reminder speaks of, if it is still in force."""
    if record is None or record.attempt != attempt:
        return None
    booking = record.booking
    return booking if booking is not None and booking.due_ms == due_ms else None
