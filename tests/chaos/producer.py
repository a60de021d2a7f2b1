"""A producer in a process of its own: submits at a rate, tries again for ever, writes down what was acknowledged.

Law: an id is written only after the store has said that it has the task, and a submission whose answer was lost is
sent again under the same ids. SIGUSR1 asks for a flood, SIGTERM for an end once nothing is open.

A share of the tasks may be started once at most, whatever happens to them; another share is submitted by two clients at
the same time, and each of them writes the id down. The id says which (`ONCE`, `TWICE`).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from nexus_sched.adapters.redis import RedisPoolStore, RedisSubmitterStore
from nexus_sched.errors import StoreError
from nexus_sched.model.outcome import Acceptance
from nexus_sched.model.payload import encode_arguments
from nexus_sched.model.task import PRIORITY_DEFAULT, PRIORITY_MAX, Retry, TaskSpec
from nexus_sched.runtime.ports import SUBMIT_TASKS_MAX, SubmitLine, SubmitterStore
from nexus_sched.sharding.submitter import PoolSubmitterStore

TICK_S = 0.05
RETRY_S = 0.05
TIMEOUT_MS = 1_000  # of a call: what is lost is sent again soon
FLOOD_TICKS, FLOOD_FACTOR = 20, 20
URGENT_SHARE = 0.1
COMMON, ONCE, TWICE = "c-", "o-", "t-"  # how ids begin
KINDS, SHARES = (COMMON, ONCE, TWICE), (0.8, 0.1, 0.1)
MS_MIN, MS_MAX = 2.0, 150.0


class Order(Struct, frozen=True, kw_only=True):
    """What a producer is to do."""

    url: str
    pool: str
    reply: str
    rate: int
    seed: int
    length_max: int
    shards: int
    acknowledged: str  # path of the file
    refusals: str  # path of the file that gets a line for each answer that was no yes


class Producer:
    """Submits tasks `c-0`, `o-1`, ... with kinds and durations from the seed."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._store, self._other = _store(order), _store(order)
        self._random = random.Random(order.seed)
        self._spec = msgspec.msgpack.encode(TaskSpec(type="work", max_attempts=20))
        self._once = msgspec.msgpack.encode(TaskSpec(type="work", max_attempts=20, retry=Retry.NEVER))
        self._next = 0
        self._flood_ticks = 0
        self._stopping = asyncio.Event()
        self._acknowledged = os.open(order.acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._refusals = os.open(order.refusals, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def run(self) -> None:
        """Until SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGUSR1, self._flood)
        due_s = loop.time()
        while not self._stopping.is_set():
            count = max(1, round(self._order.rate * TICK_S))
            if self._flood_ticks:
                self._flood_ticks -= 1
                count *= FLOOD_FACTOR
            for _ in range(0, count, SUBMIT_TASKS_MAX):
                lines = [self._line() for _ in range(min(count, SUBMIT_TASKS_MAX))]
                again = [line for line in lines if line.task_id.startswith(TWICE)]
                await asyncio.gather(self._submit(self._store, lines), self._submit(self._other, again))
            due_s = max(due_s + TICK_S, loop.time() - TICK_S)  # after a fault, do not make up for what was missed
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        await self._store.close()
        await self._other.close()

    def _flood(self) -> None:
        self._flood_ticks = FLOOD_TICKS

    def _line(self) -> SubmitLine:
        kind = self._random.choices(KINDS, SHARES)[0]
        task_id = f"{kind}{self._next}"
        self._next += 1
        priority = PRIORITY_MAX if self._random.random() < URGENT_SHARE else PRIORITY_DEFAULT
        payload = encode_arguments((self._random.uniform(MS_MIN, MS_MAX),), None)
        return SubmitLine(task_id, priority, self._once if kind == ONCE else self._spec, payload)

    async def _submit(self, store: RedisSubmitterStore, lines: list[SubmitLine]) -> None:
        while lines:
            try:
                answers = await store.submit(lines, self._order.reply)
            except StoreError as error:
                os.write(self._refusals, f"{error.code}\n".encode())
                await asyncio.sleep(RETRY_S)
                continue
            there = [line for line, answer in zip(lines, answers, strict=True) if answer is not Acceptance.BUSY]
            os.write(self._acknowledged, "".join(f"{line.task_id}\n" for line in there).encode())
            lines = [line for line, answer in zip(lines, answers, strict=True) if answer is Acceptance.BUSY]
            if lines:
                os.write(self._refusals, b"BUSY\n")
                await asyncio.sleep(RETRY_S)


def _store(order: Order) -> SubmitterStore:
    def of_shard(shard: int, _: int = 1) -> RedisSubmitterStore:
        bound = order.length_max
        return RedisSubmitterStore(
            order.url, order.pool, shard, length_max=bound, timeout_ms=TIMEOUT_MS, connect_timeout_ms=TIMEOUT_MS
        )

    if order.shards == 1:
        return of_shard(0)
    pool = RedisPoolStore(order.url, order.pool, timeout_ms=TIMEOUT_MS, connect_timeout_ms=TIMEOUT_MS)
    return PoolSubmitterStore(pool, of_shard)


if __name__ == "__main__":
    asyncio.run(Producer(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Order)).run())
