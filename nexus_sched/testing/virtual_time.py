"""An event loop whose time jumps: waiting costs nothing, and a story of an hour is told in milliseconds.

Only for code without real I/O, which the ports in memory have none of. Order is that of a real loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from nexus_sched.units import NS_PER_MS

EPOCH_S = 1_700_000_000.0  # what the wall clock says when the loop begins
Value = TypeVar("Value")


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: tells how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits and nothing is due: this would wait for ever")
            self.waited_s += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that starts at time 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._jumping.waited_s


class LoopClock:
    """`runtime.clock.Clock` on the time of the running loop."""

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self.wall_ms() * NS_PER_MS

    def wall_ms(self) -> int:
        """Milliseconds since the epoch: what a store's clock would say."""
        return round((EPOCH_S + self.monotonic_s()) * 1_000)

    def monotonic_s(self) -> float:
        """Seconds since the loop began."""
        return asyncio.get_running_loop().time()


def virtually(story: Coroutine[Any, Any, Value]) -> Value:
    """Run `story` to its end on a loop of its own, and end what it left behind. Touches no other loop."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        loop.run_until_complete(_end_all())
        loop.close()


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
