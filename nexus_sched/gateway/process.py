"""A running gateway: starts its parts, waits until it is told to stop, stops them in the opposite order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from nexus_sched.gateway.health import Health
from nexus_sched.gateway.part import Part

log = structlog.get_logger("nexus_sched.gateway")

STOP_S_MAX = 5.0  # of one part; what hangs longer is left to the end of the process


class Gateway:
    """The parts together. Use it once."""

    def __init__(self, parts: Sequence[Part], health: Health) -> None:
        self._parts = parts
        self._health = health
        self.started = asyncio.Event()

    async def run(self, stopping: asyncio.Event, told: Callable[[], None] = lambda: None) -> None:
        """Serve until `stopping`; calls `told` once everything serves. Raises what keeps a part from starting."""
        begun: list[Part] = []
        self._health.watch(self._parts)
        try:
            for part in self._parts:
                begun.append(part)
                await part.start()
            self._health.started = True
            self.started.set()
            log.info("serving", parts=[part.name for part in begun])
            told()
            await stopping.wait()
        finally:
            self._health.started = False
            for part in reversed(begun):
                await self._end(part)

    async def _end(self, part: Part) -> None:
        try:
            await asyncio.wait_for(part.stop(), STOP_S_MAX)
        except TimeoutError:
            log.warning("does not stop", part=part.name, waited_s=STOP_S_MAX)
