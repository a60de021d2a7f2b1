"""The central queue of a pool: one order over all waiting tasks.

Order key K = arrival + c * predicted - priority credit, in milliseconds; the smallest goes first, ties in
order of entry. The key is static, so ageing is built in: every task is overtaken only by tasks that arrive
within a bounded time after it, and nothing starves (placement.md, fact 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from nexus_sched.core.records import TaskRecord
from nexus_sched.model.task import PRIORITY_DEFAULT

STALE_MIN = 64  # tickets of removed tasks that may always stay in the heap


class Backlog:
    """A heap of `(key, ticket, record)`. Removed tasks stay as stale tickets until they surface, or are most of it."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TaskRecord]] = []
        self._tickets = 0
        self._count = 0
        self.predicted_ms = 0.0  # sum over waiting tasks with a prediction

    def __len__(self) -> int:
        return self._count

    def push(self, record: TaskRecord, order_weight: float, priority_credit_ms: float) -> None:
        """Let a waiting task take its place."""
        task = record.task
        record.key = task.arrived_at_ms - priority_credit_ms * (task.priority - PRIORITY_DEFAULT)
        if record.mean_ms > 0.0:
            record.key += order_weight * record.mean_ms
            self.predicted_ms += record.mean_ms
        self._tickets += 1
        record.ticket = self._tickets
        self._enter(record)

    def _enter(self, record: TaskRecord) -> None:
        self._count += 1
        heappush(self._heap, (record.key, record.ticket, record))

    def pop(self) -> TaskRecord | None:
        """Take the first task out, `None` if nothing waits."""
        heap = self._heap
        while heap:
            _, ticket, record = heappop(heap)
            if record.ticket == ticket:
                self._forget(record)
                return record
        return None

    def remove(self, record: TaskRecord) -> None:
        """Take a waiting task out, wherever it stands."""
        self._forget(record)
        if len(self._heap) > STALE_MIN + 2 * self._count:
            self._heap = [each for each in self._heap if each[2].ticket == each[1]]
            heapify(self._heap)

    def _forget(self, record: TaskRecord) -> None:
        record.ticket = 0
        self._count -= 1
        if record.mean_ms > 0.0:
            self.predicted_ms = max(0.0, self.predicted_ms - record.mean_ms) if self._count else 0.0

    def snapshot(self) -> tuple[int, float]:
        """`(tickets given, predicted_ms)`; keys and tickets are with the records."""
        return self._tickets, self.predicted_ms

    def restore(self, state: tuple[int, float], records: Iterable[TaskRecord]) -> None:
        """The opposite of `snapshot`, for an empty backlog; `records` may hold tasks that do not wait."""
        for record in records:
            if record.ticket:
                self._enter(record)
        self._tickets, self.predicted_ms = state
