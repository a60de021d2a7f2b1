"""A new worker with many slots is not given all of them at once: it has cold caches, and may not work at all.

It begins with `FLOOR` tasks, smaller workers are not held back. Each run that succeeds lets it hold one more, so what
it is trusted with doubles per round and short tasks fill it at once; without successes (long tasks) its bound grows
with time, and after `slow_start_ms` there is none. The bound itself is `WorkerRecord.ramp`, 0 for none.
Only where the scheduler binds late: round robin binds at arrival, as it does elsewhere. And only while the new ones are
at most half of the fleet: in a fleet that has just started there is nobody else to give the work to (measured: a tenth
more time for the first 6000 tasks of 22 ms on 20 workers of 32 slots).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

from nexus_sched.core.records import WorkerRecord

FLOOR = 8
STEPS = 4  # in which the bound grows with time


class SlowStart:
    """A heap of `(due, worker)`; what does not fit any more is skipped when it surfaces."""

    def __init__(self) -> None:
        self.newcomers: deque[int] = deque()  # instants of the registrations of late
        self.due: list[tuple[int, str]] = []  # when a bound grows next

    def arrived(self, fleet: int, now_ms: int, slow_start_ms: int) -> bool:
        """A worker registered; whether the others are enough to do without all of it at first."""
        newcomers = self.newcomers
        newcomers.append(now_ms)
        while newcomers and newcomers[0] <= now_ms - slow_start_ms:
            newcomers.popleft()
        return 2 * len(newcomers) <= fleet

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

    def snapshot(self) -> tuple[list[tuple[int, str]], list[int]]:
        """What is due, and who came lately; the bounds are with the workers."""
        return sorted(self.due), list(self.newcomers)

    def restore(self, state: tuple[Iterable[tuple[int, str]], Iterable[int]]) -> None:
        """The opposite of `snapshot`."""
        self.due = sorted(state[0])  # a sorted list is a heap
        self.newcomers = deque(state[1])
