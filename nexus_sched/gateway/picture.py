"""The newest picture of the pool, read once for everybody who looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec
import structlog

from nexus_sched.errors import PoolUnknown, StoreError
from nexus_sched.gateway.part import Part
from nexus_sched.gateway.store import PoolStore
from nexus_sched.model.frame import STALE_AFTER_MS, Frame, decode_frame
from nexus_sched.units import NS_PER_MS

log = structlog.get_logger("nexus_sched.gateway")

READ_EVERY_S = 0.5  # the leader paints as often


class Picture(Part):
    """Reads the frame twice a second. `frame` is the newest one, `None` before the first."""

    name = "picture"

    def __init__(self, pool: PoolStore) -> None:
        self._pool = pool
        self.frame: Frame | None = None
        self._listeners: list[Callable[[Frame], None]] = []
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self._read())

    async def stop(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def problem(self) -> str:
        """Nothing: a pool without a scheduler still takes submissions; `stale` says that it has none."""
        return ""

    @property
    def stale(self) -> bool:
        """Whether no scheduler has painted for a while."""
        return self.frame is None or time.time_ns() // NS_PER_MS - self.frame.at_ms > STALE_AFTER_MS

    def listen(self, listener: Callable[[Frame], None]) -> None:
        """Call `listener` with every new frame from now on. It must not raise or block."""
        self._listeners.append(listener)

    async def look(self) -> Frame | None:
        """Read now, for those who cannot wait for the next time."""
        blob = await self._pool.store.frame()
        return None if blob is None else self._take(decode_frame(blob))

    async def fresh(self) -> Frame:
        """The picture as it is in the store now, so that a change is seen at once. Raises `PoolUnknown`."""
        await self._pool.client.open()
        frame = await self.look()
        if frame is None:
            raise PoolUnknown("no scheduler has ever served this pool; start one with `nexus-sched run`")
        return frame

    def _take(self, frame: Frame) -> Frame:
        if self.frame is None or (frame.epoch, frame.at_ms) != (self.frame.epoch, self.frame.at_ms):
            self.frame = frame
            for listener in self._listeners:
                listener(frame)
        return frame

    async def _read(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError:
                pass  # the store's own part tells it
            except msgspec.MsgspecError as error:
                log.warning("a frame cannot be read", error=str(error))
            await asyncio.sleep(READ_EVERY_S)
