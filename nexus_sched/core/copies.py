"""Second runs of tasks that take far longer than was predicted. Off by default, and only for idempotent tasks.

Laws
* A task has at most one copy: a record of its own, placed on another worker under a higher attempt. The task's record
  stays where it is, so a live task is in one place and its copy, if any, in another.
* The first completion wins; whoever is still at it is told to stop, and what it says afterwards is stale to the store.
* A copy that is lost is forgotten, not repeated; if the original is lost, the copy takes its place.
* Copies take only slots that are free, and at most `copies_share_max` of all slots.

Attempts never go down (`History.attempts`), because the store lets only higher ones start.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from nexus_sched.core.records import TaskRecord
from nexus_sched.core.state import EngineState
from nexus_sched.model.settings import PREDICTIVE
from nexus_sched.model.task import Retry

STALE_MAX = 1_024  # watched runs that have ended; more than that are swept out
LOOK_AGAIN_MS = 1_000  # after no worker was free for a copy


class Copies:
    """Which runs are watched, as a heap of `(instant, task id, attempt)`; the copies are in `state.copies`."""

    def __init__(self, state: EngineState) -> None:
        self._state = state
        self._heap: list[tuple[int, str, int]] = []

    def watch(self, record: TaskRecord) -> None:
        """A task has been placed."""
        reaction = self._state.settings.reaction
        task, booking = record.task, record.booked
        if not reaction.speculate or booking.prediction is None or task.retry is Retry.NEVER:
            return
        if task.terms.idempotent:
            after_ms = max(1, round(reaction.speculate_after * booking.prediction.p95_ms))
            booking.copy_at_ms = booking.placed_ms + after_ms
            heappush(self._heap, (booking.copy_at_ms, record.task.id, record.attempt))
            if len(self._heap) > 2 * len(self._state.tasks) + STALE_MAX:
                self.restore(self._state.tasks.values())

    def due_ms(self) -> int | None:
        """When a turn is wanted, in milliseconds since the epoch; `None`: not at all."""
        return self._heap[0][0] if self._heap else None

    def wanted(self) -> list[TaskRecord]:
        """Records whose copy should be placed now; the next look at each is already arranged."""
        state, heap = self._state, self._heap
        found: list[TaskRecord] = []
        room = self._room() if heap and heap[0][0] <= state.now_ms else 0
        while heap and heap[0][0] <= state.now_ms:
            at_ms, task_id, attempt = heappop(heap)
            record = state.tasks.get(task_id)
            booking = None if record is None or record.attempt != attempt else record.booking
            if record is None or booking is None or booking.copy_at_ms != at_ms:
                continue
            booking.copy_at_ms = 0
            if booking.cancelled or booking.spare or booking.gives_way >= 0 or task_id in state.copies:
                continue
            if room > len(found):
                found.append(record)
            self.look_again(record)
        return found

    def look_again(self, record: TaskRecord) -> None:
        """Nobody was free, or too many copies run: think about it later, until it has a copy."""
        booking = record.booked
        booking.copy_at_ms = self._state.now_ms + LOOK_AGAIN_MS
        heappush(self._heap, (booking.copy_at_ms, record.task.id, record.attempt))

    def _room(self) -> int:
        state = self._state
        if not state.settings.reaction.speculate or state.placement.mode != PREDICTIVE:
            return 0
        slots = sum(worker.slots for worker in state.roster.ring)
        return int(state.settings.reaction.copies_share_max * slots) - len(state.copies)

    def restore(self, records: Iterable[TaskRecord]) -> None:
        """Everything again from the tasks: of a snapshot, or to be rid of what has ended."""
        self._heap = [
            (record.booking.copy_at_ms, record.task.id, record.attempt)
            for record in records
            if record.booking is not None and record.booking.copy_at_ms
        ]
        heapify(self._heap)
