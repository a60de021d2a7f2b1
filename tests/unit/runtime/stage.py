"""A whole scheduler on the ports in memory, in virtual time: one shard, workers, and as many schedulers as wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.adapters.memory.shard import DEAD, FINISHED
from nexus_sched.model.outcome import Completion, Outcome, Receipt
from nexus_sched.model.settings import EngineSettings
from nexus_sched.runtime.ports import CompletionLine, StartLine, SubmitLine
from nexus_sched.runtime.service import Service, ServiceSettings
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.checks import places_differ
from nexus_sched.testing.virtual_time import LoopClock

SPEC = msgspec.msgpack.encode({"type": "kind"})
FACT = msgspec.msgpack.encode(Completion(run_ms=50.0))
OFFER = msgspec.msgpack.encode({"slots": 2})


class Stage:
    """One shard, workers that run whatever they get for 50 ms, and schedulers."""

    def __init__(self) -> None:
        self.shard = MemoryShard(LoopClock().wall_ms)
        self.receipts: list[Receipt] = []
        self.started: list[tuple[str, int]] = []
        self.services: dict[str, tuple[Service, asyncio.Task[None]]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    def lead(self, owner: str = "a", store: MemoryLeaderStore | None = None, **settings) -> Service:
        service = Service(
            store or MemoryLeaderStore(self.shard),
            ServiceSettings(owner=owner),
            EngineSettings(**settings),
            PREDICTORS,
            clock=LoopClock(),
        )
        self.services[owner] = (service, asyncio.ensure_future(service.run()))
        return service

    def work(self, name: str) -> None:
        self._workers[name] = asyncio.ensure_future(self._work(name))

    async def _work(self, name: str) -> None:
        incarnation, known, due = self.shard.register(name, OFFER), set[tuple[str, int]](), []
        while True:
            now_s = asyncio.get_running_loop().time()
            ended = [line for at_s, line in due if at_s <= now_s]
            due = [each for each in due if each[0] > now_s]
            starts = []
            for entry, fields in self.shard.streams[f"i:{name}"].after((0, 0), 100):
                key = (fields[1].decode(), int(fields[3])) if fields[0] == b"i" else None
                if key and key not in known and len(due) + len(starts) < 2:
                    known.add(key)
                    starts.append(StartLine(*key, f"{entry[0]}-{entry[1]}"))
            reply = self.shard.step(name, incarnation, b"", ended, starts)
            self.receipts += reply.receipts
            for line, envelope in zip(starts, reply.envelopes, strict=True):
                if envelope is not None:
                    self.started.append((line.task_id, line.attempt))
                    due.append((now_s + 0.05, CompletionLine(*line, True, Outcome.SUCCEEDED, FACT, b"")))
            await asyncio.sleep(0.01)

    async def kill_worker(self, name: str) -> None:
        await end(self._workers.pop(name))

    async def kill(self, owner: str) -> None:
        """As a signal that cannot be caught: nothing is handed over."""
        await end(self.services.pop(owner)[1])

    async def stop(self, owner: str) -> None:
        service, running = self.services.pop(owner)
        service.stop()
        await running

    def submit(self, *names: str) -> None:
        self.shard.submit([SubmitLine(name, 5, SPEC, b"x") for name in names], "", 10**6, 10**9)

    async def all_ended(self) -> None:
        await until(lambda: all(task.state in (FINISHED, DEAD) for task in self.shard.tasks.values()))

    async def close(self) -> None:
        for running in self._workers.values():
            await end(running)
        for _, running in self.services.values():
            await end(running)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def staged(*workers: str) -> AsyncIterator[Stage]:
    stage = Stage()
    for name in workers:
        stage.work(name)
    try:
        yield stage
        assert places_differ(stage.shard) == []
    finally:
        await stage.close()


def names(count: int, prefix: str = "t") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def now_s() -> float:
    return asyncio.get_running_loop().time()
