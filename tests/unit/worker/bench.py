"""A shard in memory with a leader that does just what a test says, and a worker beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard, MemorySubmitterStore, MemoryWorkerStore
from nexus_sched.adapters.memory.stream import EntryStream, parse_entry_id
from nexus_sched.client.submission import submission
from nexus_sched.errors import StoreError
from nexus_sched.model.outcome import Completion
from nexus_sched.model.payload import decode_error, decode_result
from nexus_sched.runtime.ports import CommitPlan, DispatchLine, Lease, RetractLine, StopLine, TaskRecord
from nexus_sched.worker.app import App
from nexus_sched.worker.log import Log
from nexus_sched.worker.service import Worker
from nexus_sched.worker.settings import WorkerSettings

WAIT_S = 10.0  # for something that comes within milliseconds, unless the machine is very busy
WORKER = "w1"


async def eventually(condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`."""
    async with asyncio.timeout(WAIT_S):
        while not (value := condition()):
            await asyncio.sleep(0.002)
        return value


class Desk:
    """Submits, hands out, stops and takes back tasks, one commit each; and looks what became of them."""

    def __init__(self) -> None:
        self.shard = MemoryShard()
        self.submitter = MemorySubmitterStore(self.shard)
        self._leader = MemoryLeaderStore(self.shard)
        self._lease: Lease | None = None

    async def submit(self, task_type: str, *args: object, **options: Any) -> str:
        one = submission(task_type, *args, **options)
        await self.submitter.submit([one.line], "")
        return one.id

    async def give(self, task_type: str, *args: object, **options: Any) -> str:
        """Submit a task and hand it out."""
        task_id = await self.submit(task_type, *args, **options)
        await self.hand_out(task_id)
        return task_id

    async def hand_out(self, *task_ids: str, attempt: int = 1) -> list[str]:
        """Gives the inbox entries."""
        seq = await self._commit(dispatches=[DispatchLine(WORKER, task_id, attempt) for task_id in task_ids])
        return [f"{seq}-{index}" for index in range(len(task_ids))]

    async def stop(self, task_id: str, attempt: int = 1, control: str = "stop") -> None:
        await self._commit(stops=[StopLine(WORKER, task_id, attempt, control)])

    async def take_back(self, task_id: str, entry: str, attempt: int = 1) -> None:
        await self._commit(retracts=[RetractLine(WORKER, entry, task_id, attempt)])

    def roll_inbox_back(self, entry: str, task_id: str) -> None:
        """The inbox of a server that came back from an older file: just this entry, no matter what was later."""
        inbox = self.shard.streams[f"i:{WORKER}"] = EntryStream()
        inbox.insert(parse_entry_id(entry), [b"i", task_id.encode(), b"a", b"1"])

    async def reap(self) -> None:
        """Declare the worker lost, as a leader does after a long silence."""
        lease = await self._led()
        await self._leader.reap(lease, WORKER, (await self._leader.heartbeats())[WORKER], 100)

    async def _led(self) -> Lease:
        if self._lease is None:
            lease = await self._leader.acquire("desk", "nonce", None)
            assert isinstance(lease, Lease)
            self._lease = lease
        return self._lease

    async def _commit(self, **parts: Any) -> int:
        lease = await self._led()
        empty: dict[str, Any] = {"trims": {}, "removals": {}, "dispatches": [], "ends": [], "retracts": [], "stops": []}
        plan = CommitPlan(turn=b"", **(empty | parts))
        return await self._leader.commit(lease, await self._leader.sequence() or 0, plan)

    def state(self, task_id: str) -> str:
        return self.shard.tasks[task_id].state

    async def ended(self, task_id: str) -> TaskRecord:
        await eventually(lambda: self.state(task_id) in "FDC")
        record = await self.submitter.record(task_id)
        assert record is not None
        return record

    def value(self, task_id: str) -> object:
        return decode_result(self.shard.results.get(task_id, b""))

    def error(self, task_id: str) -> str:
        return decode_error(self.shard.results.get(task_id))

    def facts(self, task_id: str) -> list[Completion]:
        """All accepted completions of a task."""
        found = []
        for _, fields in self.shard.streams["res"].after((0, 0), 100_000):
            named = dict(zip(fields[::2], fields[1::2], strict=True))
            if named[b"i"] == task_id.encode():
                found.append(msgspec.msgpack.decode(named[b"f"], type=Completion))
        return found

    def inbox_length(self) -> int:
        return len(self.shard.streams[f"i:{WORKER}"])


class Gate:
    """Asynchronous tasks that wait inside until they are let go, and how many were there at once."""

    def __init__(self) -> None:
        self.app = App()
        self.open = asyncio.Event()
        self.inside = self.inside_max = self.runs = 0
        self.app.task(self.hold)

    async def hold(self) -> str:
        self.runs += 1
        self.inside += 1
        self.inside_max = max(self.inside_max, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return "held"


class FaultyStore(MemoryWorkerStore):
    """A worker's store that fails as a test wants it to.

    `before_step` and `after_step` hold errors to raise before or after the call takes effect, one a call.
    """

    def __init__(self, shard: MemoryShard) -> None:
        super().__init__(shard)
        self.before_step: list[StoreError] = []
        self.after_step: list[StoreError] = []
        self.down: StoreError | None = None
        self.steps: list[tuple[int, int]] = []  # completions and starts of each call that took effect
        self.reports: list[bytes] = []
        self.reads_from_start = 0

    async def register(self, worker: str, offer: bytes) -> int:
        if self.down is not None:
            raise self.down
        return await super().register(worker, offer)

    async def step(self, worker: str, incarnation: int, report: bytes, completions: Any, starts: Any) -> Any:
        await asyncio.sleep(0)
        if self.down is not None:
            raise self.down
        if self.before_step:
            raise self.before_step.pop(0)
        reply = await super().step(worker, incarnation, report, completions, starts)
        self.steps.append((len(completions), len(starts)))
        if report:
            self.reports.append(report)
        if self.after_step and (completions or starts):
            raise self.after_step.pop(0)
        return reply

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> Any:
        if self.down is not None:
            raise self.down
        self.reads_from_start += after == "0-0" and block_ms == 0
        return await super().read_inbox(worker, after, count, block_ms)


@contextlib.asynccontextmanager
async def serving(app: App, store: MemoryWorkerStore, **settings: Any) -> AsyncIterator[Worker]:
    """A worker that is ready; stopped at the end, and whatever it raised is raised here."""
    quick: dict[str, Any] = {"worker_id": WORKER, "slots": 2, "heartbeat_s": 0.1, "report_s": 0.1, "reconcile_s": 0.2}
    worker = Worker(app, store, WorkerSettings(**(quick | settings)), Log("error", WORKER))
    running = asyncio.create_task(worker.run())
    try:
        ready = asyncio.create_task(worker.ready.wait())
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not running.done():
            yield worker
    finally:
        worker.stop()
        await running
