"""A new worker with many slots is not given all of them at once: it has cold caches, and may not work at all.

It begins with `FLOOR` tasks, smaller workers are not held back. Each run that succeeds lets it hold one more, so what
it is trusted with doubles per round and short tasks fill it at once; without successes (long tasks) its bound grows
with time, and after `slow_start_ms` there is none. The bound itself is `WorkerRecord.ramp`, 0 for none.
Only where the scheduler binds late: round robin binds at arrival, as it does elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from nexus_sched.core.records import WorkerRecord

FLOOR = 8
STEPS = 4  # in which the bound grows with time


class SlowStart:
    """A heap of `(due, worker)`; what does not fit any more is skipped when it surfaces."""

    def __init__(self) -> None:
        self.due: list[tuple[int, str]] = []  # when a bound grows next

    def begin(self, worker: WorkerRecord, bound: int, now_ms: int, slow_start_ms: int) -> None:
        """Hold a worker to `bound` tasks for now."""
        worker.ramp, worker.ramp_from_ms = bound, now_ms
        heappush(self.due, (now_ms + max(1, slow_start_ms // STEPS), worker.name))

    def settle(self, by_name: dict[str, WorkerRecord], now_ms: int, slow_start_ms: int) -> list[WorkerRecord]:
        """Let the bounds grow with time; gives the workers that may hold more now."""
        due = self.due
        grown: list[WorkerRecord] = []
        while due and due[0][0] <= now_ms:
            worker = by_name.get(heappop(due)[1])
            if worker is None or not worker.ramp:
                continue
            passed_ms = now_ms - worker.ramp_from_ms
            if passed_ms >= slow_start_ms:
                worker.ramp = 0
            else:
                worker.ramp = max(worker.ramp, worker.slots * passed_ms // slow_start_ms)
                heappush(due, (now_ms + max(1, slow_start_ms // STEPS), worker.name))
            grown.append(worker)
        return grown

    def snapshot(self) -> list[tuple[int, str]]:
        """What is due; the bounds are with the workers."""
        return sorted(self.due)

    def restore(self, state: Iterable[tuple[int, str]]) -> None:
        """The opposite of `snapshot`."""
        self.due = sorted(state)  # a sorted list is a heap
