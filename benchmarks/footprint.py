"""What the scheduler process weighs and how fast it comes up: `python -m benchmarks.footprint [--json]`.

* cold start: from starting `nexus-sched run` to the first entry in a worker's inbox, the task waiting already;
* memory: resident set with 1000 registered workers and 100,000 queued tasks;
* decisions: the time of one decision with 1000 workers, as the scheduler's own frame tells it.

Exits with 10 under `--check` if a goal is not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.throughput.level import measure
from benchmarks.throughput.options import TASK_TYPE, Options
from benchmarks.throughput.processor import load_1min, resident_bytes, resident_bytes_max
from benchmarks.throughput.producer import Producer
from benchmarks.throughput.stage import ROOT, STOP_GRACE_S, set_up
from nexus_sched.adapters.redis import RedisSubmitterStore, RedisWorkerStore
from nexus_sched.demo.processes import Child, Children
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.task import TaskSpec
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.runtime.ports import SUBMIT_TASKS_MAX, SubmitLine
from nexus_sched.testing.servers import TestServer

EXIT_GOAL_MISSED = 10
# The goals of the foundation (issue "Speed and memory").
RESIDENT_BYTES_MAX = 150_000_000
COLD_START_S_MAX = 1.5
DECISION_P99_US_MAX = 10_000.0  # the budget of a full decision with 1000 workers

PRIORITIES = (4, 5, 6)  # one queue stream admits 100,000 tasks; the backlog is spread over some
TIMEOUT_S = 120.0
POLL_S = 0.1
_OFFER = msgspec.msgpack.encode(WorkerOffer(slots=1))
_SPEC = msgspec.msgpack.encode(TaskSpec(type=TASK_TYPE, hint_ms=20.0))


def start_scheduler(children: Children, server: TestServer, pool: str) -> Child:
    """`nexus-sched run` for a pool."""
    command = [sys.executable, "-m", "nexus_sched", "run", "--redis-url", server.url, "--set", f"pool.name={pool}"]
    return children.start(f"scheduler-{pool}", command, {"PYTHONPATH": str(ROOT)})


async def cold_start_s(children: Children, server: TestServer, pool: str) -> float:
    """Seconds from the start of the process to the first dispatch."""
    worker, submitter = RedisWorkerStore(server.url, pool), RedisSubmitterStore(server.url, pool)
    try:
        await worker.open()
        await submitter.open()
        await worker.register("first", _OFFER)
        await submitter.submit([SubmitLine("first-task", 5, _SPEC, b"")], "")
        started_at_s = time.monotonic()
        start_scheduler(children, server, pool)
        while not await worker.read_inbox("first", "0-0", 1, 1_000):
            children.check()
            if time.monotonic() - started_at_s > TIMEOUT_S:
                raise RuntimeError("the scheduler dispatches nothing")
        return time.monotonic() - started_at_s
    finally:
        await worker.close()
        await submitter.close()


async def memory(children: Children, server: TestServer, workers: int, tasks: int) -> dict[str, object]:
    """Resident set with that many workers, which take nothing up, and tasks."""
    pool = "crowd"
    scheduler = start_scheduler(children, server, pool)
    store, submitter = RedisWorkerStore(server.url, pool), RedisSubmitterStore(server.url, pool)
    await store.open()
    await submitter.open()
    names = [f"worker-{number}" for number in range(workers)]
    incarnations = await asyncio.gather(*(store.register(name, _OFFER) for name in names))
    beating = asyncio.ensure_future(beat(store, dict(zip(names, incarnations, strict=True))))
    try:
        await until(children, submitter, lambda frame: frame.workers_accepting == workers)
        before = resident_bytes(scheduler.process.pid)
        total = tasks + 2 * workers  # each worker is handed its slot and one more
        for first in range(0, total, SUBMIT_TASKS_MAX):
            lines = [
                SubmitLine(f"task-{number:08}", PRIORITIES[number % len(PRIORITIES)], _SPEC, b"")
                for number in range(first, min(total, first + SUBMIT_TASKS_MAX))
            ]
            await submitter.submit(lines, "")
        frame = await until(children, submitter, lambda frame: frame.queued >= tasks)
        return {
            "workers": frame.workers_live,
            "queued": frame.queued,
            "in_inboxes": frame.in_flight,
            "before_tasks_bytes": before,
            "resident_bytes": resident_bytes(scheduler.process.pid),
            "resident_bytes_max": resident_bytes_max(scheduler.process.pid),
        }
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await store.close()
        await submitter.close()


async def beat(store: RedisWorkerStore, incarnations: dict[str, int]) -> None:
    """Heartbeats of all workers, once a second, in a hundred groups."""
    workers = list(incarnations.items())
    group = -(-len(workers) // 100)
    while True:
        for first in range(0, len(workers), group):
            part = workers[first : first + group]
            await asyncio.gather(*(store.step(name, incarnation, b"", [], []) for name, incarnation in part))
            await asyncio.sleep(0.01)


async def until(children: Children, submitter: RedisSubmitterStore, holds: object) -> Frame:
    """The first frame for which `holds`."""
    assert callable(holds)
    give_up_at_s = time.monotonic() + TIMEOUT_S
    frame: Frame | None = None
    while time.monotonic() < give_up_at_s:
        children.check()
        blob = await submitter.frame()
        frame = None if blob is None else decode_frame(blob)
        if frame is not None and holds(frame):
            return frame
        await asyncio.sleep(POLL_S)
    raise RuntimeError(f"this state was not reached; the last was {frame}")


async def decisions(workers: int, duration_s: float) -> dict[str, object]:
    """Decision times while a thousand working workers get 1000 tasks/s."""
    options = Options(workers=workers, duration_s=duration_s, warm_up_s=0.5)
    async with set_up(options) as stage:
        producer = Producer(stage.store, stage.tally)
        measured = await measure(stage, producer, 1_000.0, options)
        await asyncio.sleep(1.0)  # two frames
        frame = await stage.frame()
        return {
            "p50": frame.decision_us.p50,
            "p99": frame.decision_us.p99,
            "decisions": frame.decision_us.count,
            "predictive": frame.counters["predictive"],
            "fallback": frame.counters["fallback"],
            "tasks_per_s": measured.tasks_per_s,
        }


async def run(workers: int, tasks: int, starts: int, duration_s: float) -> dict[str, object]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="nexus-footprint-") as name, TestServer(append_only=True) as server:
        spans: list[float] = []
        for number in range(starts):
            children = Children(Path(name))
            try:
                spans.append(await cold_start_s(children, server, f"cold-{number}"))
            finally:
                await children.stop(STOP_GRACE_S)
        children = Children(Path(name))
        try:
            sizes = await memory(children, server, workers, tasks)
        finally:
            await children.stop(STOP_GRACE_S)
    decided = await decisions(workers, duration_s)
    return {
        "resident_bytes": sizes["resident_bytes"],
        "cold_start_s": round(median(spans), 3),
        "decision_us": decided,
        "memory": sizes,
        "cold_starts_s": [round(span, 3) for span in spans],
        "goals_reached": {
            "resident_bytes": int(str(sizes["resident_bytes"])) < RESIDENT_BYTES_MAX,
            "resident_bytes_while_writing_a_checkpoint": int(str(sizes["resident_bytes_max"])) < RESIDENT_BYTES_MAX,
            "cold_start_s": median(spans) < COLD_START_S_MAX,
            "decision_p99_us": float(str(decided["p99"])) < DECISION_P99_US_MAX,
        },
        "setting": {"load_1min": load_1min(), "cores": len(os.sched_getaffinity(0))},
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    parser.add_argument("--check", action="store_true", help=f"exit with {EXIT_GOAL_MISSED} if a goal is missed")
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--starts", type=int, default=5, help="cold starts measured")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of arrivals for the decision times")
    given = parser.parse_args()
    body = asyncio.run(run(given.workers, given.tasks, given.starts, given.duration))
    sys.stdout.write(json.dumps(body, indent=None if given.json else 2) + "\n")
    goals = body["goals_reached"]
    assert isinstance(goals, dict)
    return EXIT_GOAL_MISSED if given.check and not all(goals.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
