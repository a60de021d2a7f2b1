"""A task of our own that goes through every stage, again and again: submission, queue, decision, worker, result.

Each stage can be well by its own account while nothing comes through. So what is told is the instant at which a task
last did, and an alert asks how long ago that was. Workers serve the type by themselves (`worker.app`).
"""

from __future__ import annotations

import asyncio
import time

import structlog

from nexus_sched.client import AsyncTaskHandle
from nexus_sched.errors import NexusError, ResultPending
from nexus_sched.gateway.part import Part
from nexus_sched.gateway.store import PoolStore
from nexus_sched.model.task import CANARY_TYPE
from nexus_sched.units import MS_PER_S

log = structlog.get_logger("nexus_sched.gateway")


class Canary(Part):
    """Sends one every `every_ms`, and takes back one that has not come through when the next is due."""

    name = "canary"

    def __init__(self, pool: PoolStore, every_ms: int) -> None:
        self._client = pool.client
        self._every_s = every_ms / MS_PER_S
        self._sending: asyncio.Task[None] | None = None
        self._failing = ""
        self.arrived_at_s = 0.0  # wall clock, when the last one came through; 0 before the first

    async def start(self) -> None:
        """Begin to send."""
        self._sending = asyncio.create_task(self._send())

    async def stop(self) -> None:
        """Send no more."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    def problem(self) -> str:
        """Nothing: a gateway before which nothing comes through still has its own work to do."""
        return ""

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + self._every_s
            try:
                handle = await self._client.submit(CANARY_TYPE, max_attempts=1)
                await self._follow(handle)
                self._tell("")
            except NexusError as error:
                self._tell(error.code)
            await asyncio.sleep(max(0.0, due_s - loop.time()))

    async def _follow(self, handle: AsyncTaskHandle) -> None:
        try:
            await handle.result(timeout=self._every_s)
        except ResultPending:
            await handle.cancel()
            raise
        self.arrived_at_s = time.time()

    def _tell(self, code: str) -> None:
        """A line when it begins to fail, and when it is over."""
        if code and not self._failing:
            log.warning("canaries do not come through", code=code)
        elif self._failing and not code:
            log.info("canaries come through again")
        self._failing = code
