"""Ends of tasks as they are announced: one subscriber connection and a bounded buffer per reply channel.

Law: an announcement may be lost (a slow reader, a broken connection); the record of the task is the truth.
A loss of the connection is reported by an error, never bridged silently.
"""

from __future__ import annotations

import asyncio
from collections import deque

from nexus_sched.adapters.redis.connection import Connection, pack
from nexus_sched.adapters.redis.keys import done_channel
from nexus_sched.adapters.redis.locator import Locator
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.errors import StoreError, StoreUnreachable
from nexus_sched.runtime.ports import Ended

BUFFER_MAX = 65_536  # announcements nobody has fetched yet; the oldest are dropped beyond


class Subscription:
    """The announcements of one reply channel, from the moment `open` returns."""

    def __init__(self, place: Locator, reply: str, timeout_s: float) -> None:
        self._place = place
        self._channel = done_channel(reply)
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._messages: deque[Ended] = deque(maxlen=BUFFER_MAX)
        self._arrived = asyncio.Event()
        self._standing = asyncio.Event()
        self._refused: StoreError | None = None

    @property
    def lost(self) -> bool:
        """Whether nothing more will come."""
        return self._connection is not None and bool(self._connection.lost)

    async def open(self) -> None:
        """Connect and subscribe; returns once the server has confirmed it."""
        try:
            async with asyncio.timeout(self._timeout_s):
                self._connection = await self._place.connect(self._on_message)
                self._connection.closed.add_done_callback(lambda _: self._arrived.set())
                self._connection.write(pack((b"SUBSCRIBE", self._channel)))
                await self._standing.wait()
        except (OSError, TimeoutError) as error:
            await self.close()
            raise StoreUnreachable(f"cannot subscribe at {self._place}: {error or 'no answer in time'}") from None
        if self._refused is not None:
            await self.close()
            raise self._refused

    async def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.lose("closed by this side")
            await self._connection.closed

    async def next(self) -> Ended:
        """The next announcement. Raises `StoreUnreachable` once the connection is lost and all are read."""
        while not self._messages:
            if self._connection is None or self._connection.lost:
                raise StoreUnreachable(f"{self._place}: subscription lost")
            self._arrived.clear()
            await self._arrived.wait()
        return self._messages.popleft()

    def _on_message(self, reply: Reply) -> None:
        if isinstance(reply, StoreError):
            self._refused = reply
            self._standing.set()
        elif isinstance(reply, list) and len(reply) == 3:
            if reply[0] == b"subscribe":
                self._standing.set()
            elif reply[0] == b"message":
                self._on_ended(reply[2])

    def _on_ended(self, message: bytes) -> None:
        ended = parse_ended(message)
        if ended is None:
            return
        self._messages.append(ended)
        self._arrived.set()


def parse_ended(message: bytes) -> Ended | None:
    """`<task id> <outcome> <1|0>[result]`; 0 says that the result is to be fetched. `None` if it is not that."""
    parts = message.split(b" ", 2)
    if len(parts) != 3 or parts[2][:1] not in (b"0", b"1"):
        return None
    try:
        task_id, outcome = parts[0].decode("ascii"), parts[1].decode("ascii")
    except UnicodeDecodeError:
        return None
    return Ended(task_id, outcome, parts[2][1:] if parts[2][:1] == b"1" else None)
