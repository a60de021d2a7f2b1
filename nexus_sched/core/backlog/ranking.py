"""Members in the order of ranks that change: the first one is found without touching the others.

Law: a heap entry is a rank that its member had. Ranks rise silently: an entry that surfaces and is out of date is put
right then. A rank that falls must be told (`changed`), which adds an entry. A member whose rank is `None` cannot be
chosen now and drops out; telling brings it back. What is first depends on the ranks alone, never on the history of
the heap, so a restored ranking goes on like the one that was captured.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

Rank = tuple[float, ...]
Member = TypeVar("Member")

ENTRIES_MIN = 64  # outdated entries that may always stay


class Ranking(Generic[Member]):
    """A heap of `(rank, member)`. Ranks of different members differ; a single member costs no heap."""

    def __init__(self, rank: Callable[[Member], Rank | None]) -> None:
        self._rank = rank
        self._members: dict[Member, None] = {}
        self._heap: list[tuple[Rank, Member]] = []

    def __len__(self) -> int:
        return len(self._members)

    @property
    def only(self) -> Member | None:
        """The only member, if it is alone."""
        if len(self._members) != 1:
            return None
        (only,) = self._members
        return only

    def join(self, member: Member) -> None:
        """A new member."""
        self._members[member] = None
        if len(self._members) == 2:
            for each in self._members:
                self.changed(each)
        else:
            self.changed(member)

    def leave(self, member: Member) -> None:
        """A member is no more."""
        del self._members[member]
        if len(self._members) < 2:
            self._heap.clear()

    def changed(self, member: Member) -> None:
        """The rank of a member may have fallen, or it has one again."""
        if len(self._members) < 2:
            return
        rank = self._rank(member)
        if rank is not None:
            if len(self._heap) >= ENTRIES_MIN + 2 * len(self._members):
                self._sweep()
            heappush(self._heap, (rank, member))

    def first(self) -> Member | None:
        """The member of the lowest rank, `None` if none has any."""
        only = self.only
        if only is not None:
            return None if self._rank(only) is None else only
        heap = self._heap
        while heap:
            rank, member = heap[0]
            current = self._rank(member)
            if current == rank:
                return member
            if current is None or member not in self._members:
                heappop(heap)
            else:
                heapreplace(heap, (current, member))
        return None

    def _sweep(self) -> None:
        """Keep one entry for each member."""
        ranks = ((self._rank(member), member) for member in self._members)
        self._heap = [(rank, member) for rank, member in ranks if rank is not None]
        heapify(self._heap)
