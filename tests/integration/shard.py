"""A test's view of one shard: it submits, keeps a book of every end that is announced, and reads the journal.

Ends are announced by the call that accepts a result, so an id that is announced twice was accepted twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable

import msgspec

from nexus_sched.adapters.redis import RedisLeaderStore, RedisSubmitterStore, RedisWorkerStore
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.errors import StoreError, StoreUnreachable
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.model.outcome import Acceptance
from nexus_sched.model.payload import encode_arguments
from nexus_sched.model.settings import PREDICTIVE, EngineSettings
from nexus_sched.model.task import PRIORITY_DEFAULT, TaskSpec
from nexus_sched.runtime.ports import Ended, SubmitLine
from nexus_sched.runtime.service import Service, ServiceSettings
from nexus_sched.worker import App, Worker, WorkerSettings
from nexus_sched.worker.log import Log
from tests.integration.canaries import PAYLOAD, secrets_in

TIMEOUT_S = 20.0
POLL_S = 0.01
REPEATS_S = 0.2  # how long to go on listening for a second end of a task
KEPT_TURNS, KEPT_LETTERS, KEPT_TIMEOUT_S = 10_000, 1_000, 2.0
PREDICTORS = {"ema": EmaPredictor, "learned": LearnedPredictor}


class Shard:
    """One pool on one server."""

    def __init__(self, url: str, pool: str) -> None:
        self.url = url
        self.pool = pool
        self.reply = f"book-{pool}"
        self.store = RedisSubmitterStore(url, pool)
        self.ends: dict[str, Ended] = {}
        self.times_ended: Counter[str] = Counter()
        self.submitted: list[str] = []
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and listen for ends from now on."""
        await self.store.open()
        await self.store.subscribed(self.reply)
        self._listening = asyncio.ensure_future(self._listen())

    async def close(self) -> None:
        """Leave nothing open. Nothing that the store keeps for people may hold a secret."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        try:
            found = [each for blob in await self._kept() for each in secrets_in(blob)]
            assert not found, f"secrets are kept for people: {found}"
        finally:
            await self.store.close()

    async def _kept(self) -> list[bytes]:
        """The newest turns and letters, the picture, and what was done to letters; nothing if the store is gone."""
        with contextlib.suppress(StoreError):
            async with asyncio.timeout(KEPT_TIMEOUT_S):
                blobs = [blob for _, blob in await self.store.journal(0, KEPT_TURNS)]
                letters = await self.store.dead_letters("0-0", KEPT_LETTERS)
                operations = await self.store.operations(KEPT_LETTERS)
                return [*blobs, await self.store.frame() or b"", repr(letters).encode(), repr(operations).encode()]
        return []

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(StoreUnreachable):
                async for ended in self.store.ended(self.reply):
                    self.ends[ended.task_id] = ended
                    self.times_ended[ended.task_id] += 1
            await asyncio.sleep(POLL_S)

    # -- tasks

    async def submit(self, count: int, task_type: str = "where", ms: float = 0.0, **spec: object) -> list[str]:
        """Submit some tasks; gives their ids. All must be accepted."""
        ids = [f"task-{len(self.submitted) + index}" for index in range(count)]
        self.submitted += ids
        described = msgspec.msgpack.encode(msgspec.convert({"type": task_type, **spec}, TaskSpec))
        payload = payload_of(ms)
        lines = [SubmitLine(task_id, PRIORITY_DEFAULT, described, payload) for task_id in ids]
        assert set(await self.store.submit(lines, self.reply)) == {Acceptance.ACCEPTED}
        return ids

    async def all_end(self, timeout_s: float = TIMEOUT_S) -> None:
        """Every submitted task ends, by its record, and none is announced twice."""
        await eventually(self._none_is_open, timeout_s)
        await asyncio.sleep(REPEATS_S)
        twice = [task_id for task_id, times in self.times_ended.items() if times > 1]
        assert not twice, f"ended more than once: {twice}"

    async def _none_is_open(self) -> bool:
        for task_id in self.submitted:
            if task_id not in self.ends:
                record = await self.store.record(task_id)
                assert record is not None, f"{task_id} is lost"
                if record.state in "QR":
                    return False
                self.ends[task_id] = Ended(task_id, record.outcome, await self.store.result(task_id))
        return True

    async def all_succeed(self, timeout_s: float = TIMEOUT_S) -> None:
        """`all_end`, and each with success."""
        await self.all_end(timeout_s)
        failed = {end.task_id: end.outcome for end in self.ends.values() if end.outcome != "succeeded"}
        assert not failed

    def results(self) -> list[object]:
        """The values that came back with announcements."""
        return [msgspec.msgpack.decode(end.result) for end in self.ends.values() if end.result]

    # -- the scheduler's side

    async def frame(self) -> Frame | None:
        """The scheduler's newest picture."""
        blob = await self.store.frame()
        return None if blob is None else decode_frame(blob)

    async def turns(self) -> list[Turn]:
        """All turns the journal holds."""
        store = RedisLeaderStore(self.url, self.pool)
        await store.open()
        try:
            turns: list[Turn] = []
            while page := await store.journal(turns[-1].seq if turns else 0, 512):
                turns += [decode_turn(blob) for _, blob in page]
            return turns
        finally:
            await store.close()

    async def dispatches(self) -> list[Dispatch]:
        """All placements the journal holds."""
        return [effect for turn in await self.turns() for effect in turn.effects if type(effect) is Dispatch]


def payload_of(ms: float) -> bytes:
    """What `Shard.submit` sends: how long to take, and what nobody else may see."""
    return encode_arguments((ms, PAYLOAD), None)


async def eventually(holds: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `holds()`, or what it awaits, is true."""
    loop = asyncio.get_running_loop()
    give_up_at_s = loop.time() + timeout_s
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert loop.time() < give_up_at_s, f"{getattr(holds, '__qualname__', holds)} did not come true"
        await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def leading(
    shard: Shard, mode: str = PREDICTIVE, *, publish: bool = False, crash: bool = False
) -> AsyncIterator[Service]:
    """A scheduler within this process; it hands over at the end, or with `crash` just stops.

    All have one owner's name, so that the next one need not wait for the lease of a crashed one to run out.
    """
    store = RedisLeaderStore(shard.url, shard.pool, publish=publish)
    await store.open()
    settings = ServiceSettings(pool=shard.pool, owner="leader")
    service = Service(store, settings, EngineSettings(mode=mode), PREDICTORS)
    running = asyncio.ensure_future(service.run())
    try:
        await asyncio.wait_for(service.leading.wait(), TIMEOUT_S)
        yield service
        if not crash:
            service.stop()
            await asyncio.wait_for(running, TIMEOUT_S)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()


@contextlib.asynccontextmanager
async def working(shard: Shard, app: App, name: str, slots: int = 1) -> AsyncIterator[Worker]:
    """A real worker within this process; it leaves at the end."""
    store = RedisWorkerStore(shard.url, shard.pool)
    worker = Worker(app, store, WorkerSettings(worker_id=name, slots=slots), Log("error", name))
    running = asyncio.ensure_future(worker.run())
    try:
        await asyncio.wait_for(worker.ready.wait(), TIMEOUT_S)
        yield worker
        worker.drain()
        await asyncio.wait_for(running, TIMEOUT_S)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()


@contextlib.asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[RespClient]:
    """A connection for commands that no port has."""
    client = RespClient(parse_address(url))
    await client.open()
    try:
        yield client
    finally:
        await client.close()
