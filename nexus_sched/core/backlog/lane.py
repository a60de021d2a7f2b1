"""Tasks that can stand in for each other: of one level, one tenant, equal needs and equal limits.

Within a lane only the order key counts, so if its first task cannot go now, none of them can, and nobody has to look
at the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from nexus_sched.core.limits import Gate
from nexus_sched.core.records import TaskRecord
from nexus_sched.model.terms import Needs

if TYPE_CHECKING:
    from nexus_sched.core.backlog.queue import Party

Entry = tuple[float, int, TaskRecord]
LaneName = tuple[int, str, Needs, tuple[tuple[int, str], ...]]  # priority, tenant, needs, names of the gates

STALE_MIN = 64  # tickets of removed tasks that may always stay in the heap


class Lane:
    """A heap of `(key, ticket, record)`. Removed tasks stay as stale tickets until they surface, or are most of it."""

    __slots__ = ("count", "gates", "heap", "name", "parked", "parked_until_ms", "party")

    def __init__(self, name: LaneName, party: Party, gates: Sequence[Gate]) -> None:
        self.name = name
        self.party = party
        self.gates = gates
        self.heap: list[Entry] = []
        self.count = 0
        self.parked: Gate | None = None  # the limit that keeps it waiting
        self.parked_until_ms = 0  # when to look again; 0: when something ends that counts there

    def push(self, record: TaskRecord) -> bool:
        """Let a task stand here by its key and ticket; whether it is the first now."""
        entry = (record.key, record.ticket, record)
        heappush(self.heap, entry)
        self.count += 1
        return self.heap[0] is entry

    def extend(self, entries: Sequence[Entry]) -> None:
        """Let many tasks stand here at once."""
        self.heap += entries
        self.count += len(entries)
        heapify(self.heap)

    def first(self) -> Entry | None:
        """The first entry, `None` if the lane is empty."""
        heap = self.heap
        while heap:
            entry = heap[0]
            if entry[2].ticket == entry[1]:
                return entry
            heappop(heap)
        return None

    def rank(self) -> tuple[float, float] | None:
        """Key and ticket of its first task; `None` if there is none, or it is parked."""
        entry = None if self.parked is not None else self.first()
        return None if entry is None else (entry[0], entry[1])

    def sweep(self) -> None:
        """After a task was removed from within: let go of stale tickets if they are most of the heap."""
        if len(self.heap) > STALE_MIN + 2 * self.count:
            self.heap = [each for each in self.heap if each[2].ticket == each[1]]
            heapify(self.heap)
