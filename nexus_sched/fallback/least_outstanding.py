"""Least outstanding: the worker with the fewest tasks per slot, ties in turn.

On identical workers with fresh state this is already optimal (placement.md, fact 7), so it is the rung
between learned placement and bare rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from nexus_sched.fallback.candidate import Candidate
from nexus_sched.model.settings import LEAST_OUTSTANDING


class LeastOutstanding:
    """Scans the ring from `position`, so that equals are taken in turn."""

    name = LEAST_OUTSTANDING

    def __init__(self) -> None:
        self.position = 0

    def choose(self, ring: Sequence[Candidate]) -> int:
        """Index of the least loaded open worker, -1 if none is open. O(workers)."""
        count = len(ring)
        if count == 0:
            return -1
        start = self.position % count
        best, best_load = -1, 0.0
        for index in chain(range(start, count), range(start)):
            worker = ring[index]
            if not worker.accepting or worker.in_flight >= worker.credit:
                continue
            load = worker.in_flight / worker.slots
            if best < 0 or load < best_load:
                best, best_load = index, load
                if load == 0.0:
                    break
        if best >= 0:
            self.position = best + 1
        return best
