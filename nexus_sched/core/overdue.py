"""Tasks that run longer than predicted: the longer, the more work they are taken to have left.

Without this, earliest-completion placement is worse than joining the shortest queue (placement.md, fact 5). Once a
task has been with its worker for longer than was booked for it, the booking becomes what has passed plus half of that
again; then it is looked at again when that has passed, so a task is corrected a logarithmic number of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

from nexus_sched.core.records import TaskRecord
from nexus_sched.core.roster import Roster

STALE_MAX = 1_024  # entries of tasks that ended long before their due time; more than that are swept out
REMAINING_SHARE = 0.5  # of the time that has passed (prediction.md, building blocks)


class Overdue:
    """A heap of `(due, task id, attempt)`; what has moved on since is skipped when it surfaces."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str, int]] = []

    def watch(self, record: TaskRecord, wait_ms: float, now_ms: int) -> None:
        """A task has been placed and is expected to start in `wait_ms`; without a prediction nothing is watched."""
        record.placed_ms = now_ms
        record.due_ms = 0
        record.overdue = False
        if record.prediction is not None:
            record.placed_ms = now_ms + round(wait_ms)
            record.due_ms = record.placed_ms + max(1, round(record.booked_ms))
            heappush(self._heap, (record.due_ms, record.task.id, record.attempt))

    def correct(self, tasks: Mapping[str, TaskRecord], roster: Roster, now_ms: int) -> int:
        """Raise the bookings of all tasks that are overdue by now; gives how many became so for the first time."""
        if len(self._heap) > 2 * len(tasks) + STALE_MAX:
            self._heap = []
            self.restore(tasks.values())
        heap, fresh = self._heap, 0
        while heap and heap[0][0] < now_ms:
            due_ms, task_id, attempt = heappop(heap)
            record = tasks.get(task_id)
            if record is None or record.waiting or record.attempt != attempt or record.due_ms != due_ms:
                continue
            passed_ms = now_ms - record.placed_ms
            fresh += not record.overdue
            record.overdue = True
            total_ms = passed_ms * (1.0 + REMAINING_SHARE)
            roster.rebook(record, total_ms)
            record.due_ms = record.placed_ms + max(round(total_ms), passed_ms + 1)
            heappush(heap, (record.due_ms, task_id, attempt))
        return fresh

    def restore(self, records: Iterable[TaskRecord]) -> None:
        """Watch all that are placed: of a snapshot, or to be rid of what has ended."""
        for record in records:
            if not record.waiting and record.due_ms:
                heappush(self._heap, (record.due_ms, record.task.id, record.attempt))
