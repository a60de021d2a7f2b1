"""Instants that tasks wait for: delays, back-off before a retry, deadlines.

Law: nothing here is state of its own. A timer belongs to one place of a task in the backlog (its ticket) and is stale
once the task has left that place, so timers are made again from the records when an engine is restored.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from nexus_sched._kernel.digest import digest64
from nexus_sched.core.records import TaskRecord
from nexus_sched.model.settings import EngineSettings

STALE_MIN = 64
JITTER = 0.1  # of a back-off, either way, so that tasks that failed together do not come back together
_DIGEST_SPAN = float(2**64)


def backoff_ms(record: TaskRecord, settings: EngineSettings) -> int:
    """How long a task that has just failed for the `retries`-th time waits before it may run again.

    Doubled with every retry up to `backoff_ms_max`, and moved by up to a tenth by a hash of task and retry.
    """
    first_ms = record.task.terms.backoff_ms
    first_ms = settings.backoff_ms if first_ms is None else first_ms
    plain_ms = min(first_ms * 2.0 ** max(0, record.past.retries - 1), settings.backoff_ms_max)
    draw = digest64(f"{record.task.id}:{record.past.retries}".encode()) / _DIGEST_SPAN
    return round(plain_ms * (1.0 + JITTER * (2.0 * draw - 1.0)))


class Timers:
    """A heap of `(due, ticket, record)`."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, TaskRecord]] = []
        self._sweep_at = STALE_MIN

    def add(self, record: TaskRecord, due_ms: int) -> None:
        """Remind of a task where it stands now."""
        heap = self._heap
        if len(heap) >= self._sweep_at:
            heap[:] = [each for each in heap if each[2].ticket == each[1]]
            heapify(heap)
            self._sweep_at = STALE_MIN + 2 * len(heap)
        heappush(heap, (due_ms, record.ticket, record))

    def next_ms(self) -> int | None:
        """The earliest instant, `None` if there is none."""
        heap = self._heap
        while heap and heap[0][2].ticket != heap[0][1]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now_ms: int) -> list[TaskRecord]:
        """The tasks whose instant has come, in its order; they are not reminded of again."""
        found = []
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            _, ticket, record = heappop(heap)
            if record.ticket == ticket:
                found.append(record)
        return found
