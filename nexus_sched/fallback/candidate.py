"""What a fallback policy may know of a worker: four plain numbers, no array, no prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Candidate(Protocol):
    """A worker in the order of the ring. `accepting` is False for draining, suspect and gone ones."""

    accepting: bool
    slots: int
    credit: int  # tasks it may hold
    in_flight: int  # tasks it holds


class FallbackPolicy(Protocol):
    """Picks a worker without predictions."""

    name: str

    def choose(self, ring: Sequence[Candidate]) -> int:
        """Index into `ring` of the worker to use, -1 if none is open."""
