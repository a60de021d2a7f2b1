"""What is scraped: the pictures of all shards are read at that moment, and rendered aside, so that nobody waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from nexus_sched.errors import StoreError
from nexus_sched.gateway.metrics.collector import Own, PoolCollector
from nexus_sched.gateway.part import Part
from nexus_sched.model.frame import Frame

log = structlog.get_logger("nexus_sched.gateway")

LAG_EVERY_S = 0.5
READ_TIMEOUT_S = 2.0

ReadFrames = Callable[[], Awaitable[Sequence[Frame]]]


class Metrics(Part):
    """The metrics of one pool. Scrapes follow each other; a slow one does not pile up others."""

    name = "metrics"

    def __init__(self, read_frames: ReadFrames, own: Callable[[], Own], drain_target_s: float) -> None:
        self._read_frames = read_frames
        self._own = own
        self._collector = PoolCollector(drain_target_s)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._collector)
        self._frames: Sequence[Frame] = ()
        self._loop_lag_s = 0.0
        self._turn = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch this process's own event loop."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Watch no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def problem(self) -> str:
        """Nothing: what cannot be read is a metric itself (`redis_up`)."""
        return ""

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """The text, and its type, in the format that `accept` prefers; of the last pictures while the store is away."""
        async with self._turn:
            up = await self._refresh()
            own = msgspec.structs.replace(self._own(), redis_up=up, loop_lag_s=self._loop_lag_s)
            self._collector.look(self._frames, own, time.time())
            encoder, content_type = choose_encoder(accept)
            return await asyncio.to_thread(encoder, self._registry), content_type

    async def _refresh(self) -> bool:
        try:
            self._frames = await asyncio.wait_for(self._read_frames(), READ_TIMEOUT_S)
        except (StoreError, TimeoutError):
            return False
        except msgspec.MsgspecError as error:
            log.warning("a frame cannot be read", error=type(error).__name__)
            return False
        return True

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._loop_lag_s = loop.time() - due_s
