"""Round robin: the next worker in turn.

`early` is the classic form that binds a task at its arrival, whatever the worker holds already; it is
the baseline that people run today. Without it, workers with a free slot come first, which keeps the
rotation work conserving when it stands in for a predictor that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from nexus_sched.fallback.candidate import Candidate
from nexus_sched.model.settings import ROUND_ROBIN


class RoundRobin:
    """Rotates over the ring. `position` is the index looked at next; it is all the state there is."""

    name = ROUND_ROBIN

    def __init__(self, *, early: bool = False) -> None:
        self.early = early
        self.position = 0

    def choose(self, ring: Sequence[Candidate]) -> int:
        """Index of the next open worker in turn, -1 if none is open. O(workers) at worst."""
        count = len(ring)
        if count == 0:
            return -1
        start = self.position % count
        with_credit = -1
        for index in chain(range(start, count), range(start)):
            worker = ring[index]
            if not worker.accepting or worker.in_flight >= worker.credit:
                continue
            if self.early or worker.in_flight < worker.slots:
                self.position = index + 1
                return index
            if with_credit < 0:
                with_credit = index
        if with_credit >= 0:
            self.position = with_credit + 1
        return with_credit
