"""Virtual time for several parties: nothing waits, and what happens next depends on nothing but the seed.

Law: steps of parties (callbacks of their loops) and acts of nature (deliveries, faults) happen one after another, in
the order of their instants, and in the order in which they were asked for where instants are equal. A step takes no
time.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.shell.party import PartyLoop

STEPS_PER_INSTANT_MAX = 100_000  # so many without any time passing: somebody runs in circles

Act = Callable[[], object]


class Endless(Exception):
    """Somebody runs in circles: time does not pass any more."""


class World:
    """Time, chance, and everything that is due."""

    def __init__(self, seed: int | str) -> None:
        self.now_s = 0.0
        self.random = Random(seed)
        self.steps = 0
        self.defects: list[str] = []  # what no party handled
        self._ready: deque[asyncio.Handle] = deque()
        self._due: list[tuple[float, int, Act | asyncio.TimerHandle]] = []
        self._asked = 0
        self._running: PartyLoop | None = None  # what asyncio takes for the running loop

    def after(self, delay_s: float, act: Act | asyncio.TimerHandle) -> None:
        """Let something happen."""
        self.at(self.now_s + delay_s, act)

    def at(self, at_s: float, act: Act | asyncio.TimerHandle) -> None:
        """Let something happen at an instant, at once if it has passed."""
        self._asked += 1
        heappush(self._due, (max(at_s, self.now_s), self._asked, act))

    def soon(self, handle: asyncio.Handle) -> None:
        """A party's next step."""
        self._ready.append(handle)

    def run(self, until_s: float, over: Callable[[], bool] = lambda: False) -> bool:
        """Go on until an instant, or until it is `over`, which is asked whenever time passes; gives whether it is."""
        try:
            while True:
                self._settle()
                if over():
                    return True
                if not self._due or self._due[0][0] > until_s:
                    self.now_s = max(self.now_s, until_s)
                    return False
                self.now_s, _, act = heappop(self._due)
                if isinstance(act, asyncio.TimerHandle):
                    self._ready.append(act)
                else:
                    act()
        finally:
            self._enter(None)

    def settle(self) -> None:
        """Take all steps that need no time."""
        try:
            self._settle()
        finally:
            self._enter(None)

    def _settle(self) -> None:
        ready, taken = self._ready, 0
        try:
            while ready:
                handle = ready.popleft()
                loop: PartyLoop = handle._loop
                if handle._cancelled or not loop.admits(handle):
                    continue
                if loop is not self._running:
                    self._enter(loop)
                handle._run()
                taken += 1
                if taken > STEPS_PER_INSTANT_MAX:
                    raise Endless(f"{loop.name} runs in circles at {self.now_s:.3f} s")
        finally:
            self.steps += taken

    def _enter(self, loop: PartyLoop | None) -> None:
        """Costs a system call, so only where the party changes."""
        self._running = loop
        events._set_running_loop(loop)

    def forget(self) -> None:
        """Drop everything that is due: the story is over."""
        self._ready.clear()
        self._due.clear()
