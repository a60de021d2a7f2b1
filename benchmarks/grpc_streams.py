"""What a thousand report streams do to the scheduler's decisions: `python -m benchmarks.grpc_streams --json`.

With `--scrape` it is somebody who scrapes the gateway's metrics every second instead.

One scheduler in this process, and beside it a real server, a gateway, a worker, a producer and the streams, each a
process of its own. The streams are open all the time and report in every second phase only, so that both kinds of
phases are of one run on one machine. Decisions are recorded exactly; compared are the 99th percentiles over all phases
of a kind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import grpc
import httpx
import psutil

from nexus_sched.adapters.redis import RedisLeaderStore
from nexus_sched.client import AsyncClient
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.model.settings import EngineSettings
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import MESSAGES, REPORT
from nexus_sched.runtime import turn
from nexus_sched.runtime.gauges import LogHistogram
from nexus_sched.runtime.service import Service, ServiceSettings
from nexus_sched.testing.servers import TestServer
from nexus_sched.worker import App

POOL = "streams"
CHANNELS = 8
app = App()


@app.task
def nothing() -> None:
    """A task that takes no time."""


class Exact(LogHistogram):
    """Keeps every observation as well."""

    seen: ClassVar[list[float]] = []

    def observe(self, value: float, times: int = 1) -> None:
        super().observe(value, times)
        Exact.seen.extend([value] * times)


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


async def report(target: str, streams: int) -> None:
    """Open the streams, and report at 1 Hz while the last line on standard input was `on`."""
    channels = [grpc.aio.insecure_channel(target) for _ in range(CHANNELS)]
    asked, answer = MESSAGES[REPORT]
    on = asyncio.Event()

    async def stream(number: int) -> None:
        call = channels[number % CHANNELS].stream_stream(
            REPORT, request_serializer=asked.SerializeToString, response_deserializer=answer.FromString
        )()
        offer: messages.Offer | None = messages.Offer(slots=4, taints=["benchmark"])
        incarnation, sent = 0, 0
        while True:
            capacity = messages.Capacity(cpu=(sent % 20) / 20.0, running=sent % 4)
            said = messages.WorkerCapacity(
                worker=f"stream-{number}", incarnation=incarnation, capacity=capacity, offer=offer
            )
            await call.write(messages.ReportRequest(workers=[said]))
            reply = await call.read()
            incarnation, offer, sent = reply.receipts[0].incarnation, None, sent + 1
            if sent == 1:
                opened.release()
            await asyncio.sleep(1.0)
            await on.wait()

    opened = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(stream(number)) for number in range(streams)]
    for _ in tasks:
        await opened.acquire()
    print("open", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        (on.set if line.strip() == "on" else on.clear)()


async def scrape(url: str) -> None:
    """Scrape every second while the last line on standard input was `on`."""
    on = asyncio.Event()

    async def scraping() -> None:
        async with httpx.AsyncClient() as client:
            while True:
                await on.wait()
                (await client.get(f"{url}/metrics")).raise_for_status()
                await asyncio.sleep(1.0)

    task = asyncio.create_task(scraping())
    print("open", flush=True)
    while (line := await asyncio.to_thread(sys.stdin.readline)) and not task.done():
        (on.set if line.strip() == "on" else on.clear)()


async def produce(url: str, rate: float) -> None:
    """Submit evenly until ended."""
    async with AsyncClient(url, pool=POOL) as client:
        due_s = time.monotonic()
        while True:
            await client.submit("nothing")
            due_s += 1.0 / rate
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


def pin() -> None:
    """Give the scheduler's thread a processor of its own, as far as this run goes, and the others to all else."""
    first, *others = sorted(os.sched_getaffinity(0))
    for child in psutil.Process().children(recursive=True):
        for thread in child.threads():
            os.sched_setaffinity(thread.id, others)
    os.sched_setaffinity(0, {first})


def start(*command: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", *command], text=True, **options)


async def measure(arguments: argparse.Namespace) -> dict[str, float]:
    if arguments.clock == "cpu":
        turn.time = SimpleNamespace(perf_counter_ns=time.thread_time_ns)  # type: ignore[assignment]  # a shared machine
    children: list[subprocess.Popen[str]] = []
    with TestServer() as server, tempfile.TemporaryDirectory() as folder:
        store = RedisLeaderStore(server.url, POOL, 0)
        await store.open()
        settings = EngineSettings(predictor="learned")
        service = Service(store, ServiceSettings(pool=POOL, owner="bench"), settings, {"learned": LearnedPredictor})
        running = asyncio.ensure_future(service.run())
        await service.leading.wait()
        assert service._loop is not None
        service._loop.decision_ns = Exact()  # to keep what it would only count
        common = ("--redis-url", server.url, "--set", f"pool.name={POOL}")
        try:
            log = Path(folder, "gateway.log")
            with log.open("w") as output:
                door = ("--set", "http.port=0", "--set", "grpc.enabled=true", "--set", "grpc.port=0")
                patient = ("--set", "grpc.heartbeat_timeout=300s", "--insecure-no-auth")
                command = ("nexus_sched", "run", "--role", "gateway", *door, *patient, *common)
                children.append(start(*command, stdout=output, stderr=output))
            while (found := re.search(r"by gRPC at (\S+)\.\n", log.read_text())) is None:
                await asyncio.sleep(0.05)
            worker = ("nexus_sched", "worker", "benchmarks.grpc_streams:app", "--slots", "16", *common)
            children.append(start(*worker, stderr=subprocess.DEVNULL))
            me = "benchmarks.grpc_streams"
            children.append(start(me, "--produce", server.url, "--rate", str(arguments.rate)))
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            page = re.search(r" at (http://\S+);", log.read_text())
            assert page is not None
            streams = ("--report", found[1], "--streams", str(arguments.streams))
            disturbing = start(me, *(("--scrape-page", page[1]) if arguments.scrape else streams), **pipes)
            children.append(disturbing)
            assert disturbing.stdin is not None
            assert disturbing.stdout is not None
            await asyncio.to_thread(disturbing.stdout.readline)
            if arguments.pin:
                pin()
            return await phases(arguments, disturbing.stdin)
        finally:
            for child in children:
                child.kill()
                child.wait()
            service.stop()
            await asyncio.wait_for(running, 20.0)
            await store.close()


async def phases(arguments: argparse.Namespace, switch: Any) -> dict[str, float]:
    seen: dict[str, list[float]] = {"off": [], "on": []}
    for number in range(2 * arguments.rounds + 1):
        kind = "on" if number % 2 else "off"
        switch.write(kind + "\n")
        switch.flush()
        await asyncio.sleep(1.0)  # until the last ones have heard of it
        Exact.seen.clear()
        await asyncio.sleep(arguments.phase_s)
        if number:  # the first one warms up
            seen[kind] += Exact.seen
        print(f"phase {number} of {2 * arguments.rounds}: {kind}, {len(Exact.seen)} decisions", file=sys.stderr)
    return {
        "streams": 0 if arguments.scrape else arguments.streams,
        "decisions_off": len(seen["off"]),
        "decisions_on": len(seen["on"]),
        "p50_us_off": sorted(seen["off"])[len(seen["off"]) // 2] / 1e3,
        "p50_us_on": sorted(seen["on"])[len(seen["on"]) // 2] / 1e3,
        "p99_us_off": p99(seen["off"]) / 1e3,
        "p99_us_on": p99(seen["on"]) / 1e3,
        "p99_ratio": p99(seen["on"]) / p99(seen["off"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=300.0, help="tasks a second")
    parser.add_argument("--rounds", type=int, default=4, help="pairs of phases")
    parser.add_argument("--phase-s", type=float, default=5.0)
    clock_help = "cpu: processor time of the scheduler's thread, so that other processes of the machine do not count"
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help=clock_help)
    pin_help = "the scheduler on one processor and everything else of this run on the others"
    parser.add_argument("--pin", action="store_true", help=pin_help)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--scrape", action="store_true", help="scrape metrics instead of opening streams")
    parser.add_argument("--scrape-page", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--report", metavar="TARGET", help=argparse.SUPPRESS)
    parser.add_argument("--produce", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.report:
        asyncio.run(report(arguments.report, arguments.streams))
    elif arguments.scrape_page:
        asyncio.run(scrape(arguments.scrape_page))
    elif arguments.produce:
        asyncio.run(produce(arguments.produce, arguments.rate))
    else:
        found = asyncio.run(measure(arguments))
        if arguments.json:
            print(json.dumps(found))
        else:
            print("\n".join(f"{name:15} {value:10.2f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
