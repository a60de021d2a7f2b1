"""The pool's store as all parts of a gateway share it: one connection, one reply channel, one client."""

from __future__ import annotations

import asyncio
import contextlib

from nexus_sched.client import AsyncClient
from nexus_sched.errors import StoreError
from nexus_sched.gateway.part import Part
from nexus_sched.runtime.ports import SubmitterStore
from nexus_sched.units import MS_PER_S

LOOK_EVERY_S = 1.0
LOOK_TIMEOUT_S = 2.0


class PoolStore(Part):
    """Opens the store, goes on trying while it is not there, and says whether it answers.

    A gateway starts without its store: it then says so (`/readyz`), and serves as soon as it can.
    """

    name = "store"

    def __init__(self, store: SubmitterStore, patience_ms: int) -> None:
        self.store = store
        self.client = AsyncClient(store=store, patience_s=patience_ms / MS_PER_S)
        self._problem = "it has not been reached yet"
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look; does not wait for the store, but gives it a moment."""
        self._looking = asyncio.create_task(self._look())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first_look(), LOOK_TIMEOUT_S)

    async def stop(self) -> None:
        """Let go of all connections."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.client.close()

    def problem(self) -> str:
        """What the store answered the last time, if that was an error."""
        return self._problem

    async def _first_look(self) -> None:
        while self._problem:
            await asyncio.sleep(0.01)

    async def _look(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._touch(), LOOK_TIMEOUT_S)
            except StoreError as error:
                self._problem = str(error)
            except TimeoutError:
                self._problem = f"it has not answered within {LOOK_TIMEOUT_S:g} s"
            else:
                self._problem = ""
            await asyncio.sleep(LOOK_EVERY_S)

    async def _touch(self) -> None:
        await self.client.open()
        await self.store.record("gateway-health")  # any read: that there is no such task is as good an answer
