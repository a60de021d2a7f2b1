"""The processes of one part: a server, and whatever of scheduler, worker and gateways the part needs.

Law: nothing outlives the part, and a process that ends by itself ends the part at once, with its last words.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from benchmarks.throughput.processor import cpu_s
from benchmarks.throughput.stage import ROOT, STOP_GRACE_S
from nexus_sched.adapters.redis import RedisSubmitterStore
from nexus_sched.demo.processes import Child, Children
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.testing.servers import TestServer

POOL = "gateway"
READY_TIMEOUT_S = 30.0
POLL_S = 0.02
WATCH_S = 0.1
_LISTENING = re.compile(r" at (http://\S+);")

Value = TypeVar("Value")


class Door(NamedTuple):
    """A gateway that listens."""

    child: Child
    url: str

    @property
    def pid(self) -> int:
        """Its process."""
        return self.child.process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def cpu_s(self) -> float:
        """Processor time that it has taken so far."""
        return cpu_s(self.pid)


class Site:
    """One server and the processes beside it."""

    def __init__(self, server: TestServer, directory: Path) -> None:
        self.server = server
        self.children = Children(directory)
        self.mortal = Children(directory)  # those that are killed on purpose
        self.store = RedisSubmitterStore(server.url, POOL)
        self.pids: dict[str, int] = {"server": server.pid}
        self._started = 0

    async def scheduler(self) -> None:
        """Start a scheduler; returns when it has painted its state."""
        self.pids["scheduler"] = self._start(self.children, "run").process.pid
        await self.frame(lambda _: True)

    async def worker(self, slots: int) -> None:
        """Start a worker that runs `nothing`; returns when the scheduler knows it."""
        self._start(self.children, "worker", "benchmarks.gateway.application:app", "--slots", str(slots))
        await self.frame(lambda frame: frame.workers_accepting == 1)

    async def gateway(self, *settings: str, mortal: bool = False) -> Door:
        """Start a gateway that lets everybody on this machine do everything; returns when it listens."""
        flags = [part for setting in ("http.port=0", *settings) for part in ("--set", setting)]
        arguments = ("run", "--role", "gateway", "--insecure-no-auth", *flags)
        child = self._start(self.mortal if mortal else self.children, *arguments)
        async with asyncio.timeout(READY_TIMEOUT_S):
            while (found := _LISTENING.search(child.log.read_text())) is None:
                if (failure := child.failure()) is not None:
                    raise failure
                await asyncio.sleep(POLL_S)
        self.pids["gateway"] = child.process.pid
        return Door(child, found[1])

    def _start(self, children: Children, *arguments: str) -> Child:
        self._started += 1
        common = ("--redis-url", self.server.url, "--set", f"pool.name={POOL}")
        command = [sys.executable, "-m", "nexus_sched", *arguments, *common]
        return children.start(f"{arguments[0]}-{self._started}", command, {"PYTHONPATH": str(ROOT)})

    async def frame(self, holds: Callable[[Frame], bool]) -> Frame:
        """The first picture of the state for which `holds`."""
        give_up_at_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < give_up_at_s:
            self.children.check()
            blob = await self.store.frame()
            if blob is not None and holds(frame := decode_frame(blob)):
                return frame
            await asyncio.sleep(POLL_S)
        raise RuntimeError("this state was not reached")

    async def guarded(self, work: Awaitable[Value]) -> Value:
        """What `work` gives. Raises `DemoFailed` as soon as a process has ended that should not."""
        working = asyncio.ensure_future(work)
        try:
            while not working.done():
                await asyncio.wait([working], timeout=WATCH_S)
                if working.done() and working.exception() is not None:
                    await asyncio.sleep(WATCH_S)  # perhaps because a process is ending: that is the better reason
                self.children.check()
            return working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@contextlib.asynccontextmanager
async def set_up(options: dict[str, str] | None = None) -> AsyncIterator[Site]:
    """A server without anything beside it; everything that is started there ends with the block."""
    with tempfile.TemporaryDirectory(prefix="nexus-gateway-") as name, TestServer(options=options) as server:
        site = Site(server, Path(name))
        try:
            await site.store.open()
            yield site
        finally:
            await site.mortal.stop(STOP_GRACE_S)
            await site.children.stop(STOP_GRACE_S)
            await site.store.close()
