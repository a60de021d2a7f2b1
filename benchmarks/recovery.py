"""How long nobody dispatches when the leader goes: `python -m benchmarks.recovery [--kills N] [--json]`.

Real processes and a real server, 1000 workers whose heartbeats never stop, 100,000 queued tasks, and a few workers
that run tasks all the time, so that there always is something to dispatch. Measured from the signal until the journal
holds the first dispatch of the next epoch:

* restart: the only scheduler is killed (SIGKILL) and started again at once;
* neighbour: it is killed, and a standby on the same machine takes over;
* standby: the same, but the standby cannot see that the leader's process is gone (as on another machine), so the
  lease has to run out;
* hand-over: the leader is asked to stop (SIGTERM), and a standby takes over; nothing may be reclaimed.

Exits with 10 under `--check` if a goal is not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.footprint import PRIORITIES, beat
from benchmarks.throughput.options import TASK_TYPE
from benchmarks.throughput.processor import load_1min
from benchmarks.throughput.stage import ROOT, STOP_GRACE_S
from nexus_sched.adapters.redis import RedisLeaderStore, RedisSubmitterStore, RedisWorkerStore
from nexus_sched.demo.processes import Child, Children
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.journal import decode_turn
from nexus_sched.model.outcome import Completion, Outcome
from nexus_sched.model.task import TaskSpec
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.runtime.ports import SUBMIT_TASKS_MAX, CompletionLine, StartLine, SubmitLine
from nexus_sched.testing.servers import TestServer

EXIT_GOAL_MISSED = 10
# The goals of docs/reference/protocol.md's design: median and most, seconds.
GOALS = {"restart": (0.5, 5.0), "neighbour": (1.5, 5.0), "standby": (1.5, 5.0), "hand-over": (0.5, 0.5)}
POOL = "recovery"
BUSY_WORKERS = 40
BUSY_PAUSE_S = 0.1  # between two steps of a busy worker: 400 tasks a second among them
WATCH_S = 0.003
POLL_S = 0.1
WARM_S = 4.0  # a standby has started and read everything by then
TIMEOUT_S = 30.0
_OFFER = msgspec.msgpack.encode(WorkerOffer(slots=1))
_SPEC = msgspec.msgpack.encode(TaskSpec(type=TASK_TYPE, hint_ms=20.0))
_FACT = msgspec.msgpack.encode(Completion(run_ms=20.0))


class Site:
    """One server, its workers and tasks, and the schedulers of one way to fail."""

    def __init__(self, server: TestServer, children: Children, byte_code: Path) -> None:
        self.server = server
        self.children = children
        self.journal = RedisLeaderStore(server.url, POOL)
        self.worker = RedisWorkerStore(server.url, POOL)
        self.submitter = RedisSubmitterStore(server.url, POOL)
        self.submitted = 0
        self.running: list[Child] = []  # schedulers that nobody has asked to end
        self._started = 0
        self._environment = {"PYTHONPATH": str(ROOT), **byte_code_in(byte_code)}

    def start(self, named: bool) -> Child:
        """One more scheduler. A name of its own (that of the child) hides which process it is."""
        self._started += 1
        name = f"scheduler-{self._started}"
        command = [sys.executable, "-m", "nexus_sched", "run", "--redis-url", self.server.url]
        command += ["--set", f"pool.name={POOL}"]
        if named:
            command += ["--set", f"scheduler.owner={name}"]
        child = self.children.start(name, command, self._environment)
        self.running.append(child)
        return child

    async def leader(self) -> Child:
        """Who leads. A standby that has just come may: replicas share shards as suits all of them."""
        owner = (await self.frame()).owner
        for child in self.running:
            if owner == child.name or owner.endswith(f":{child.process.pid}"):
                return child
        raise RuntimeError(f"{owner} leads, and was not started here")

    async def submit(self, count: int) -> None:
        """Queue tasks, spread over some classes: one stream admits 100,000."""
        while count > 0:
            some = min(count, SUBMIT_TASKS_MAX)
            numbers = range(self.submitted, self.submitted + some)
            lines = [SubmitLine(f"task-{each:08}", PRIORITIES[each % len(PRIORITIES)], _SPEC, b"") for each in numbers]
            await self.submitter.submit(lines, "")
            self.submitted += some
            count -= some

    async def work(self, incarnations: dict[str, int]) -> None:
        """Some workers run what they get, at once; as many tasks are submitted."""
        while True:
            ended = 0
            for worker, incarnation in incarnations.items():
                for item in await self.worker.read_inbox(worker, "0-0", 1, 0):
                    start = StartLine(item.task_id, item.attempt, item.entry)
                    await self.worker.step(worker, incarnation, b"", [], [start])
                    line = CompletionLine(*start, True, Outcome.SUCCEEDED, _FACT, b"")
                    await self.worker.step(worker, incarnation, b"", [line], [])
                    ended += 1
            await self.submit(ended)
            await asyncio.sleep(BUSY_PAUSE_S)

    async def frame(self, holds: Callable[[Frame], bool] = lambda _: True) -> Frame:
        """The first picture of the state for which `holds`; any, if nothing is asked for."""
        give_up_at_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < give_up_at_s:
            self._check()
            blob = await self.submitter.frame()
            frame = None if blob is None else decode_frame(blob)
            if frame is not None and holds(frame):
                return frame
            await asyncio.sleep(POLL_S)
        raise RuntimeError("this state was not reached")

    async def dispatched_after(self, epoch: int, seq: int) -> None:
        """Return once the journal holds a dispatch of a later epoch behind `seq`."""
        give_up_at_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < give_up_at_s:
            self._check()
            for number, blob in await self.journal.journal(seq, 64):
                seq = number
                turn = decode_turn(blob)
                if turn.epoch > epoch and any(type(effect) is Dispatch for effect in turn.effects):
                    return
            await asyncio.sleep(WATCH_S)
        raise RuntimeError("nobody dispatches any more")

    def _check(self) -> None:
        """Raise `DemoFailed`, with its last words, if a scheduler has ended by itself."""
        for child in self.running:
            if (failure := child.failure()) is not None:
                raise failure


def byte_code_in(folder: Path) -> dict[str, str]:
    """The environment in which modules are compiled once, into `folder`: as installed packages are, wherever we run."""
    return {"PYTHONPYCACHEPREFIX": str(folder / "byte-code"), "PYTHONDONTWRITEBYTECODE": ""}


async def gap_s(site: Site, number: signal.Signals, then: Callable[[], object]) -> float:
    """Send the signal to the leader, do `then`, and give the time until somebody else dispatches."""
    child = await site.leader()
    frame = await site.frame()
    seq = await site.journal.sequence() or 0
    site.running.remove(child)
    began_s = time.monotonic()
    os.kill(child.process.pid, number)
    then()
    await site.dispatched_after(frame.epoch, seq)
    span_s = time.monotonic() - began_s
    await asyncio.to_thread(child.process.wait)
    return span_s


async def restarts(site: Site, kills: int) -> list[float]:
    """The only scheduler is killed and started again, `kills` times."""
    spans: list[float] = []
    site.start(named=False)
    await leading(site, 1)
    for _ in range(kills):
        await asyncio.sleep(WARM_S / 2)
        spans.append(await gap_s(site, signal.SIGKILL, lambda: site.start(named=False)))
    await finish(site)
    return spans


async def takeovers(site: Site, kills: int, number: signal.Signals, *, named: bool) -> list[float]:
    """The leader of two is signalled, and another standby started, `kills` times."""
    spans: list[float] = []
    site.start(named)
    await leading(site, 1)
    for _ in range(kills):
        site.start(named)
        await asyncio.sleep(WARM_S)
        spans.append(await gap_s(site, number, lambda: None))
    await finish(site)
    return spans


async def leading(site: Site, workers: int) -> None:
    """Wait until somebody leads that knows so many workers."""
    begun_ms = time.time_ns() // 1_000_000
    await site.frame(lambda frame: frame.at_ms > begun_ms and frame.workers_live >= workers)


async def finish(site: Site) -> None:
    """End all schedulers, those that came last first."""
    while site.running:
        child = site.running.pop()
        child.process.terminate()
        await asyncio.to_thread(child.process.wait)


async def reclaimed(site: Site) -> int:
    """How often a task was taken back so far."""
    frame = await site.frame()
    return frame.counters["reclaimed"]


async def measured(workers: int, tasks: int, kills: int, ways: list[str]) -> dict[str, object]:
    """All figures."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="nexus-recovery-") as name, TestServer(append_only=True) as server:
        children = Children(Path(name))
        site = Site(server, children, Path(name))
        background: list[asyncio.Future[None]] = []
        try:
            for store in (site.journal, site.worker, site.submitter):
                await store.open()
            names = [f"worker-{number}" for number in range(workers)]
            incarnations = [await site.worker.register(name, _OFFER) for name in names]
            everybody = dict(zip(names, incarnations, strict=True))
            background.append(asyncio.ensure_future(beat(site.worker, everybody)))
            site.start(named=False)
            await leading(site, workers)
            await site.submit(tasks + 2 * workers)
            busy = dict(list(everybody.items())[: min(BUSY_WORKERS, workers)])
            background.append(asyncio.ensure_future(site.work(busy)))
            await site.frame(lambda frame: frame.queued >= tasks * 0.95)
            await finish(site)
            runs: dict[str, Callable[[], Awaitable[list[float]]]] = {
                "restart": lambda: restarts(site, kills),
                "neighbour": lambda: takeovers(site, kills, signal.SIGKILL, named=False),
                "standby": lambda: takeovers(site, kills, signal.SIGKILL, named=True),
                "hand-over": lambda: takeovers(site, kills, signal.SIGTERM, named=False),
            }
            for way in ways:
                spans = await runs[way]()
                figures[way] = {
                    "p50_s": round(median(spans), 3),
                    "max_s": round(max(spans), 3),
                    "spans_s": [round(span, 3) for span in spans],
                    "goal_reached": median(spans) <= GOALS[way][0] and max(spans) <= GOALS[way][1],
                }
                for task in background:
                    if task.done():
                        task.result()
            figures["reclaimed"] = await reclaimed(site)
            frame = await site.frame()
            figures["queued"], figures["workers"] = frame.queued, frame.workers_live
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await children.stop(STOP_GRACE_S)
            for store in (site.journal, site.worker, site.submitter):
                with contextlib.suppress(Exception):  # whatever ended the run is what should be told
                    await store.close()
    return figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    parser.add_argument("--check", action="store_true", help=f"exit with {EXIT_GOAL_MISSED} if a goal is missed")
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=10, help="how often the leader goes, each way")
    parser.add_argument("--way", action="append", choices=list(GOALS), help="only this; may be repeated")
    given = parser.parse_args()
    body = asyncio.run(measured(given.workers, given.tasks, given.kills, given.way or list(GOALS)))
    body["setting"] = {"load_1min": load_1min(), "cores": len(os.sched_getaffinity(0))}
    sys.stdout.write(json.dumps(body, indent=None if given.json else 2) + "\n")
    reached = all(each["goal_reached"] for each in body.values() if isinstance(each, dict) and "goal_reached" in each)
    return EXIT_GOAL_MISSED if given.check and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
