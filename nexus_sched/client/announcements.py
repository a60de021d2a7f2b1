"""Who waits for the end, or the estimate, of which task. An announcement only saves time: the record stays the truth.

The subscription stands from the first wait on, and is renewed with back-off when it is lost; meanwhile
waiters poll.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

from nexus_sched.errors import StoreError
from nexus_sched.runtime.ports import ESTIMATED, Ended, SubmitterStore

BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 5.0

_Waiters = defaultdict[str, list[asyncio.Future[Ended]]]


class Announcements:
    """What is announced on one reply channel, handed to those who wait for it."""

    def __init__(self, store: SubmitterStore, reply: str) -> None:
        self._store = store
        self._reply = reply
        self._waiters: _Waiters = defaultdict(list)
        self._curious: _Waiters = defaultdict(list)  # who waits for an estimate
        self._listener: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    async def listen(self) -> None:
        """Returns once the subscription stands; or once it failed, and then it is tried again."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())
        await self._tried.wait()

    def expect(self, task_id: str) -> contextlib.AbstractContextManager[asyncio.Future[Ended]]:
        """A future of the end of this task, while the context lasts."""
        return _among(self._waiters, task_id)

    def expect_estimate(self, task_id: str) -> contextlib.AbstractContextManager[asyncio.Future[Ended]]:
        """A future of the next estimate of this task, or else of its end, while the context lasts.

        The `result` of an estimate (outcome `ESTIMATED`) is an encoded `Eta`.
        """
        return _among(self._curious, task_id)

    async def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _listen(self) -> None:
        pause_s = BACKOFF_S_MIN
        try:
            while True:
                try:
                    await self._store.subscribed(self._reply)
                    self._tried.set()
                    async for ended in self._store.ended(self._reply):
                        pause_s = BACKOFF_S_MIN
                        self._tell(ended)
                except StoreError:  # nobody is misled: who waits asks the record as well
                    self._tried.set()
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, BACKOFF_S_MAX)
        finally:
            self._tried.set()  # whatever ends this, nobody waits for it for ever

    def _tell(self, ended: Ended) -> None:
        waiters = list(self._curious.get(ended.task_id, ()))  # an end is news for them as well: no estimate will follow
        if ended.outcome != ESTIMATED:
            waiters += self._waiters.get(ended.task_id, ())
        for future in waiters:
            if not future.done():
                future.set_result(ended)


@contextlib.contextmanager
def _among(waiting: _Waiters, task_id: str) -> Iterator[asyncio.Future[Ended]]:
    future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
    waiting[task_id].append(future)
    try:
        yield future
    finally:
        others = waiting[task_id]
        others.remove(future)
        if not others:
            del waiting[task_id]
