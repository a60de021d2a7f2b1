"""Worker classes as dense indexes: what a task takes on each is one number in one buffer.

Laws
* An index belongs to a class as long as a live worker is of it; then the lowest free index goes to the next new class.
  So indexes stay below the greatest number of workers there ever were at once, which the table relies on.
* `names` is the same tuple object until a class comes or goes: predictors keep what they worked out for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

FEW_SHARE = 0.5  # if less than this share of the classes can take a task at all, only those are asked for


class WorkerClasses:
    """Which classes there are, and a buffer of means by index."""

    def __init__(self) -> None:
        self.means_ms = array("f")  # one per index; what it holds is of the task asked about last
        self._members: list[int] = []  # live workers by index
        self._by_index: list[str] = []  # names by index, of classes that are gone as well
        self._index: dict[str, int] = {}
        self._free: list[int] = []  # heap
        self._names: tuple[str, ...] = ()
        self._stale = False  # `_names` is of classes that there were
        self.count = 0
        self.alone: dict[int, tuple[str]] = {}  # the one name of an index, the same tuple object each time

    @property
    def names(self) -> tuple[str, ...]:
        """Names by index. Where no class is, another one is named: nobody reads what is predicted for it."""
        if self._stale:
            anybody = next(iter(self._index), "")
            members = zip(self._by_index, self._members, strict=True)
            self._names = tuple(name if count else anybody for name, count in members)
            self._stale = False
        return self._names

    def enter(self, name: str) -> int:
        """One more worker of this class; gives its index."""
        index = self._index.get(name)
        if index is None:
            index = heappop(self._free) if self._free else len(self._by_index)
            self._place(name, index)
        self._members[index] += 1
        return index

    def leave(self, name: str) -> None:
        """One worker less."""
        index = self._index[name]
        self._members[index] -= 1
        if self._members[index] == 0:
            del self._index[name], self.alone[index]
            heappush(self._free, index)
            self.count -= 1
            self._stale = True

    def restore(self, members: Iterable[tuple[str, int]]) -> None:
        """Let the workers of a snapshot enter, each with the index that it had."""
        for name, index in members:
            if name not in self._index:
                self._place(name, index)
            self._members[index] += 1
        self._free = [index for index, count in enumerate(self._members) if count == 0]
        heapify(self._free)

    def _place(self, name: str, index: int) -> None:
        while index >= len(self._by_index):
            self._by_index.append("")
            self._members.append(0)
            self.means_ms.append(0.0)
        self._by_index[index] = name
        self._index[name] = index
        self.alone[index] = (name,)
        self.count += 1
        self._stale = True
