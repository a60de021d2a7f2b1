"""The ports, as a party sees them: the adapters in memory at the far end of a link.

Everything that a port offers passes through one method; only what waits, what is sent before it is awaited, and what
is published need words of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from nexus_sched.adapters.memory import (
    MemoryLeaderStore,
    MemoryPoolStore,
    MemoryRegistryStore,
    MemorySubmitterStore,
    MemoryWorkerStore,
)
from nexus_sched.errors import StoreUnreachable
from nexus_sched.runtime.pool_ports import PoolStore, RegistryStore
from nexus_sched.runtime.ports import (
    INPUT_STREAMS,
    CommitPlan,
    Ended,
    InboxItem,
    LeaderStore,
    Lease,
    RawBatch,
    SubmitterStore,
    WorkerStore,
)
from tests.shell.link import Link


class _Linked:
    """Any port at the end of one way of a link."""

    def __init__(
        self, link: Link, far: LeaderStore | WorkerStore | SubmitterStore | PoolStore | RegistryStore, way: int
    ):
        self._link = link
        self._far: Any = far
        self._way = way

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._far, operation)

        async def call(*args: Any, **options: Any) -> Any:
            return await self._link.call(operation, method, *args, *options.values(), way=self._way)

        call.__name__ = operation
        self.__dict__[operation] = call  # asked for once
        return call

    async def close(self) -> None:
        """Connections end with their party."""


class LinkedLeaderStore(_Linked):
    """`LeaderStore`."""

    def __init__(self, link: Link, far: MemoryLeaderStore, way: int = 0) -> None:
        super().__init__(link, far, way)

    async def read(self, cursors: Mapping[str, str], count: int, block_ms: int) -> RawBatch:
        asked = dict(cursors)
        return await self._link.call(
            "read", self._far.read, asked, count, 0, way=self._way, wait_ms=block_ms, streams=INPUT_STREAMS
        )

    def commit(self, lease: Lease, seq: int, plan: CommitPlan) -> Awaitable[int]:
        return self._link.call("commit", self._far.commit, lease, seq, plan, way=self._way)


class LinkedWorkerStore(_Linked):
    """`WorkerStore`."""

    def __init__(self, link: Link, far: MemoryWorkerStore, way: int = 0) -> None:
        super().__init__(link, far, way)

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> list[InboxItem]:
        asked = (worker, after, count, 0)
        return await self._link.call(
            "read_inbox", self._far.read_inbox, *asked, way=self._way, wait_ms=block_ms, streams=[f"i:{worker}"]
        )


class LinkedSubmitterStore(_Linked):
    """`SubmitterStore`."""

    def __init__(self, link: Link, far: MemorySubmitterStore, way: int = 0) -> None:
        super().__init__(link, far, way)
        self._heard: dict[str, asyncio.Queue[bytes | None]] = {}  # by channel; `None`: the subscription is lost

    async def answer(self, reply: str, timeout_ms: int) -> bytes | None:
        return await self._link.call(
            "answer", self._far.answer, reply, 0, way=self._way, wait_ms=timeout_ms, streams=[f"x:{reply}"]
        )

    async def subscribed(self, reply: str) -> None:
        await self._link.call("record", self._far.record, "", way=self._way)
        if reply not in self._heard:
            heard = self._heard[reply] = asyncio.Queue()
            self._link.listen(
                lambda bring: _subscribe(self._far, f"nexus:done:{reply}", bring),
                heard.put_nowait,
                lambda: heard.put_nowait(None),
                self._way,
            )

    def ended(self, reply: str) -> AsyncIterator[Ended]:
        return _Ends(self, reply)

    async def next_ended(self, reply: str) -> Ended:
        """The next end that is heard of. Raises `StoreUnreachable` once if the subscription is lost."""
        if reply not in self._heard:
            await self.subscribed(reply)
        message = await self._heard[reply].get()
        if message is None:
            del self._heard[reply]
            raise StoreUnreachable("the subscription is lost")
        task_id, outcome, tail = message.split(b" ", 2)
        return Ended(task_id.decode(), outcome.decode(), tail[1:] if tail[:1] == b"1" else None)


class LinkedPoolStore(_Linked):
    """`PoolStore`."""

    def __init__(self, link: Link, far: MemoryPoolStore) -> None:
        super().__init__(link, far, 0)


class LinkedRegistryStore(_Linked):
    """`RegistryStore`."""

    def __init__(self, link: Link, far: MemoryRegistryStore) -> None:
        super().__init__(link, far, 0)


class _Ends:
    """What `async for` needs; a generator would have to be closed by a loop that may be gone."""

    def __init__(self, store: LinkedSubmitterStore, reply: str) -> None:
        self._store = store
        self._reply = reply

    def __aiter__(self) -> _Ends:
        return self

    async def __anext__(self) -> Ended:
        return await self._store.next_ended(self._reply)


def _subscribe(far: MemorySubmitterStore, channel: str, bring: Callable[[bytes], None]) -> Callable[[], None]:
    bus = far.shard.bus
    bus.subscribe(channel, bring)
    return lambda: bus.unsubscribe(channel, bring)
