"""The processes of a measurement: server, scheduler, fleet. All end with it, however it ends."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from benchmarks.throughput.options import Options
from benchmarks.throughput.processor import cpu_s, machine_cpu_s
from benchmarks.throughput.tally import Tally
from nexus_sched.adapters.redis import RedisSubmitterStore
from nexus_sched.demo.processes import Child, Children
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.testing.servers import TestServer

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 60.0
STOP_GRACE_S = 5.0
POLL_S = 0.05


class Reading(Struct, frozen=True):
    """All counters at one instant."""

    at_s: float
    started: int
    accepted: int
    server_cpu_s: float
    scheduler_cpu_s: float
    fleet_cpu_s: float
    producer_cpu_s: float
    machine_cpu_s: float


class Stage:
    """What a measurement needs while the processes run."""

    def __init__(self, server: TestServer, scheduler: Child, fleet: Child, tally: Tally, children: Children) -> None:
        self.server = server
        self.scheduler = scheduler
        self.fleet = fleet
        self.tally = tally
        self.children = children
        self.store = RedisSubmitterStore(server.url)

    def read(self) -> Reading:
        """The counters now."""
        return Reading(
            time.monotonic(),
            self.tally.started,
            self.tally.accepted,
            cpu_s(self.server.pid),
            cpu_s(self.scheduler.process.pid),
            cpu_s(self.fleet.process.pid),
            time.process_time(),
            machine_cpu_s(),
        )

    def check(self) -> None:
        """Raise if a process ended or anything went wrong in the fleet."""
        self.children.check()
        if self.tally.faults:
            raise RuntimeError(f"{self.tally.faults} faults in the fleet:\n{self.fleet.log.read_text()[-2000:]}")

    async def frame(self) -> Frame:
        """The scheduler's newest picture."""
        blob = await self.store.frame()
        if blob is None:
            raise RuntimeError("the scheduler has written no frame")
        return decode_frame(blob)


@asynccontextmanager
async def set_up(options: Options) -> AsyncIterator[Stage]:
    """Start everything, wait until all workers are known to the scheduler, and end everything afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="nexus-throughput-") as name,
        TestServer(options.server, append_only=True, options=server_options(options)) as server,
    ):
        directory = Path(name)
        children = Children(directory)
        tally = Tally(directory / "tally", create=True)
        try:
            scheduler = start_scheduler(children, server.url, profile_command(options, "scheduler"))
            fleet = start_fleet(children, server.url, directory / "tally", options)
            stage = Stage(server, scheduler, fleet, tally, children)
            await stage.store.open()
            await _until_ready(stage, options)
            try:
                yield stage
            finally:
                await stage.store.close()
        finally:
            await children.stop(STOP_GRACE_S)


def server_options(options: Options) -> dict[str, str]:
    """Room for a connection of every worker, and the asked-for durability."""
    return {"appendfsync": options.fsync, "maxclients": str(options.workers + 200)}


def profile_command(options: Options, name: str) -> list[str]:
    """What to put before `-m module` in order to profile a process."""
    if not options.profile:
        return []
    return ["-m", "cProfile", "-o", str(Path(options.profile).resolve() / f"{name}.prof")]


def start_scheduler(children: Children, url: str, profiler: list[str]) -> Child:
    """`nexus-sched run` on the server."""
    command = [sys.executable, *profiler, "-m", "nexus_sched", "run", "--redis-url", url]
    return children.start("scheduler", command, {"PYTHONPATH": str(ROOT)})


def start_fleet(children: Children, url: str, tally: Path, options: Options) -> Child:
    """The workers' process."""
    program = [*profile_command(options, "fleet"), "-m", "benchmarks.throughput.fleet"]
    arguments = [url, str(tally), str(options.workers), str(options.slots)]
    return children.start("fleet", [sys.executable, *program, *arguments], {"PYTHONPATH": str(ROOT)})


async def _until_ready(stage: Stage, options: Options) -> None:
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not (stage.tally.ready and await _known(stage) == options.workers):
            stage.check()
            await asyncio.sleep(POLL_S)


async def _known(stage: Stage) -> int:
    blob = await stage.store.frame()
    return 0 if blob is None else decode_frame(blob).workers_accepting
