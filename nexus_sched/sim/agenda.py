"""What is going to happen, in the order of virtual time; at the same instant in the order in which it was planned."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

NEVER = math.inf
# Called with the instant and three values of whoever planned it.
Action = Callable[[float, Any, Any, Any], None]


class Agenda:
    """A heap of `(instant in ms, ticket, action, its three values)`; tickets make the order total."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Action, Any, Any, Any]] = []
        self._tickets = 0

    def plan(self, at_ms: float, action: Action, first: Any = None, second: Any = None, third: Any = None) -> int:
        """Let `action` happen at `at_ms`; gives its ticket."""
        self._tickets += 1
        heappush(self.heap, (at_ms, self._tickets, action, first, second, third))
        return self._tickets

    @property
    def next_ms(self) -> float:
        """When something happens next, `NEVER` if nothing will."""
        return self.heap[0][0] if self.heap else NEVER

    def step(self) -> float:
        """Let the next thing happen; gives its instant."""
        at_ms, _, action, first, second, third = heappop(self.heap)
        action(at_ms, first, second, third)
        return at_ms
