"""Arrivals: a Poisson stream of a given rate, or as many as the system takes.

The instant in a task's payload is taken right before the call that submits it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque

import msgspec

from benchmarks.throughput.options import SATURATION, TASK_TYPE
from benchmarks.throughput.simulated import STAMP
from benchmarks.throughput.tally import Tally
from nexus_sched.model.outcome import Acceptance
from nexus_sched.model.task import PRIORITY_DEFAULT, TaskSpec
from nexus_sched.runtime.ports import SUBMIT_TASKS_MAX, SubmitLine, SubmitterStore

BATCH = 128  # tasks in one call at saturation
CALLS_IN_FLIGHT_MAX = 4
POLL_S = 0.002
_SPEC = msgspec.msgpack.encode(TaskSpec(type=TASK_TYPE, codec="raw"))


class Producer:
    """Submits no-op tasks; `submitted` counts those that were accepted."""

    def __init__(self, store: SubmitterStore, tally: Tally, seed: int = 1) -> None:
        self.submitted = 0
        self._store = store
        self._tally = tally
        self._number = 0
        self._random = random.Random(seed)
        self._calls: deque[asyncio.Future[None]] = deque()

    async def produce(self, rate: float, outstanding: int, seconds: float) -> None:
        """Submit for this long; returns when all calls are answered."""
        until_s = time.monotonic() + seconds
        if rate == SATURATION:
            await self._flood(outstanding, until_s)
        else:
            await self._pace(rate, until_s)
        while self._calls:
            await self._calls.popleft()

    async def _pace(self, rate: float, until_s: float) -> None:
        due_s = time.monotonic()
        while due_s < until_s:
            now_s = time.monotonic()
            if due_s > now_s:
                await asyncio.sleep(due_s - now_s)
                now_s = time.monotonic()
            count = 0
            while due_s <= now_s and count < SUBMIT_TASKS_MAX:
                due_s += self._random.expovariate(rate)
                count += 1
            self._send(count)
            while self._calls and self._calls[0].done():
                await self._calls.popleft()

    async def _flood(self, outstanding: int, until_s: float) -> None:
        sent = self._tally.started
        while time.monotonic() < until_s:
            while len(self._calls) >= CALLS_IN_FLIGHT_MAX:
                await self._calls.popleft()
            if sent - self._tally.started + BATCH <= outstanding:
                self._send(BATCH)
                sent += BATCH
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(POLL_S)

    def _send(self, count: int) -> None:
        if not count:
            return
        first = self._number
        self._number += count
        payload = STAMP.pack(time.monotonic_ns())
        lines = [SubmitLine(f"task-{first + index}", PRIORITY_DEFAULT, _SPEC, payload) for index in range(count)]
        self._calls.append(asyncio.ensure_future(self._submit(lines)))

    async def _submit(self, lines: list[SubmitLine]) -> None:
        answers = await self._store.submit(lines, "")
        accepted = answers.count(Acceptance.ACCEPTED)
        self.submitted += accepted
        if accepted != len(lines):
            raise RuntimeError(f"{len(lines) - accepted} of {len(lines)} tasks were not accepted")
