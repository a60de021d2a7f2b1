"""Workers that take as long as they say, producers that do not ask, and what is seen of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import count
from random import Random

import msgspec
from msgspec import Struct

from nexus_sched.adapters.redis import RedisSubmitterStore, RedisWorkerStore
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.outcome import Acceptance, Completion, Outcome
from nexus_sched.model.task import PRIORITY_DEFAULT, PRIORITY_MAX, TaskSpec
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.runtime.ports import CompletionLine, InboxItem, StartLine, SubmitLine

POOL = "flood"
WORKERS, SLOTS, RUN_MS = 10, 2, 100.0
SPREAD = 0.5  # of run times, as a share of the mean: equal ones end in step, and an urgent task waits for the beat
CAPACITY = WORKERS * SLOTS * 1_000.0 / RUN_MS  # tasks/s
URGENT_PER_S = 10.0
LENGTH_MAX, BYTES_MAX = 500, 500_000  # 2.5 s of work; with payloads of 5 kB the second binds first
TICK_S, POLL_S = 0.05, 0.1
BATCH = 200
_SPEC = msgspec.msgpack.encode(TaskSpec(type="flood", hint_ms=RUN_MS))
_OFFER = msgspec.msgpack.encode(WorkerOffer(slots=SLOTS))


class Tally(Struct):
    """What one phase has seen."""

    offered: int = 0
    admitted: int = 0
    refused: int = 0
    waits_ms: list[float] = []  # of urgent tasks
    urgent_refused: int = 0
    queued_bytes_max: int = 0
    queued_max: int = 0


class Site:
    """Workers and producers of one run on the server at `url`."""

    def __init__(self, url: str) -> None:
        self.submitter = RedisSubmitterStore(url, POOL, length_max=LENGTH_MAX, bytes_max=BYTES_MAX)
        self.client = RespClient(parse_address(url))
        self.tally = Tally()
        self._url = url
        self._numbers = count()
        self._submitted_s: dict[str, float] = {}  # urgent tasks on their way

    async def open(self) -> None:
        """Connect."""
        await self.submitter.open()
        await self.client.open()

    async def close(self) -> None:
        """Close all connections."""
        await self.submitter.close()
        await self.client.close()

    # -- workers

    async def work(self, name: str) -> None:
        """One worker: runs what it is handed, `SLOTS` at a time, each for about `RUN_MS`."""
        store = RedisWorkerStore(self._url, POOL)
        await store.open()
        incarnation = await store.register(name, _OFFER)
        slots, after, random = asyncio.Semaphore(SLOTS), "0-0", Random(name)
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                items = await store.read_inbox(name, after, 100, 500)
                await store.step(name, incarnation, b"", [], [])
                for item in items:
                    after = item.entry
                    run_ms = RUN_MS * random.uniform(1.0 - SPREAD, 1.0 + SPREAD)
                    task = asyncio.ensure_future(self._run(store, name, incarnation, item, slots, run_ms))
                    running.add(task)
                    task.add_done_callback(running.discard)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await store.close()

    async def _run(
        self,
        store: RedisWorkerStore,
        name: str,
        incarnation: int,
        item: InboxItem,
        slots: asyncio.Semaphore,
        run_ms: float,
    ) -> None:
        async with slots:
            start = StartLine(item.task_id, item.attempt, item.entry)
            reply = await store.step(name, incarnation, b"", [], [start])
            if reply.envelopes[0] is None:
                return
            submitted_s = self._submitted_s.pop(item.task_id, None)
            if submitted_s is not None:
                self.tally.waits_ms.append((time.monotonic() - submitted_s) * 1_000)
            await asyncio.sleep(run_ms / 1_000)
            fact = msgspec.msgpack.encode(Completion(run_ms=run_ms))
            await store.step(name, incarnation, b"", [CompletionLine(*start, True, Outcome.SUCCEEDED, fact, b"")], [])

    # -- producers

    def lines(self, number: int, priority: int, payload: bytes) -> list[SubmitLine]:
        """Tasks that nobody has submitted yet."""
        return [SubmitLine(f"task-{next(self._numbers):08}", priority, _SPEC, payload) for _ in range(number)]

    async def pour(self, per_s: float, payload_bytes: int) -> None:
        """Submit tasks at a rate; what is refused is dropped."""
        payload, began_s, offered = b"x" * payload_bytes, time.monotonic(), 0
        while True:
            while (due := int((time.monotonic() - began_s) * per_s) - offered) > 0:
                lines = self.lines(min(due, BATCH), PRIORITY_DEFAULT, payload)
                refused = (await self.submitter.submit(lines, "")).count(Acceptance.BUSY)
                offered += len(lines)
                self.tally.offered += len(lines)
                self.tally.refused += refused
                self.tally.admitted += len(lines) - refused
            await asyncio.sleep(TICK_S)

    async def hurry(self) -> None:
        """Submit the urgent ones, one at a time, in no step with anything."""
        random = Random("urgent")
        while True:
            (line,) = self.lines(1, PRIORITY_MAX, b"")
            self._submitted_s[line.task_id] = time.monotonic()
            answers = await self.submitter.submit([line], "")
            if answers[0] is Acceptance.BUSY:
                self.tally.urgent_refused += 1
                del self._submitted_s[line.task_id]
            await asyncio.sleep(random.expovariate(URGENT_PER_S))

    async def look(self) -> None:
        """Watch what the bounds are meant to bound."""
        keys = self.submitter.keys
        queue = keys.inputs[f"q:{PRIORITY_DEFAULT}"]
        while True:
            queued, held = await asyncio.gather(
                self.client.call("XLEN", queue), self.client.call("HGET", keys.meta, "bytes")
            )
            self.tally.queued_max = max(self.tally.queued_max, int(queued))
            self.tally.queued_bytes_max = max(self.tally.queued_bytes_max, int(held or 0))
            await asyncio.sleep(POLL_S)

    async def frame(self) -> Frame | None:
        """The newest picture of the state."""
        blob = await self.submitter.frame()
        return None if blob is None else decode_frame(blob)


@asynccontextmanager
async def beside(*loops: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Let these run meanwhile; what fails in one of them is raised at the end."""
    tasks = [asyncio.ensure_future(each) for each in loops]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
