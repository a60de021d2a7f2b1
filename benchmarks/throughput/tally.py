"""Numbers that the fleet's process counts and the measuring process reads, without a message between them.

One mapped file: a head of 64-bit counters, then a ring of latencies. There is one writer; a reader that looks
in between sees numbers that are at most one task old.
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

RING = 1 << 20  # latencies kept: more than one measurement can hold
_READY, _STARTED, _ACCEPTED, _FAULTS = range(4)
_HEAD = 8
_WORD_BYTES = 8


class Tally:
    """Counters and latencies in a file that two processes map."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        size = _WORD_BYTES * (_HEAD + RING)
        with path.open("w+b" if create else "r+b") as stream:
            if create:
                stream.truncate(size)
            self._map = mmap.mmap(stream.fileno(), size)
        view = memoryview(self._map)
        self._head = view[: _WORD_BYTES * _HEAD].cast("q")
        self._ring = view[_WORD_BYTES * _HEAD :].cast("d")

    # -- the fleet's side

    def set_ready(self) -> None:
        """All workers are registered."""
        self._head[_READY] = 1

    def add_start(self, latency_ms: float) -> None:
        """A worker was granted a start, this long after the task's submission began."""
        count = self._head[_STARTED]
        self._ring[count % RING] = latency_ms
        self._head[_STARTED] = count + 1

    def add_accepted(self, count: int) -> None:
        """The store took results as the first ones of their tasks."""
        self._head[_ACCEPTED] += count

    def add_fault(self, what: str) -> None:
        """Something happened that must not in a run without faults."""
        self._head[_FAULTS] += 1
        sys.stderr.write(f"fault: {what}\n")
        sys.stderr.flush()

    # -- the measuring side

    @property
    def ready(self) -> bool:
        """Whether all workers are registered."""
        return bool(self._head[_READY])

    @property
    def started(self) -> int:
        """Starts granted so far."""
        return self._head[_STARTED]

    @property
    def accepted(self) -> int:
        """Results accepted so far."""
        return self._head[_ACCEPTED]

    @property
    def faults(self) -> int:
        """What went wrong so far; the fleet's log has the words."""
        return self._head[_FAULTS]

    def latencies_ms(self, first: int, last: int) -> list[float]:
        """The latencies of starts `first` to `last` (not included), as far as the ring still has them."""
        return [self._ring[index % RING] for index in range(max(first, last - RING), last)]
