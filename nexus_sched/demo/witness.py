"""The workers' own testimony: a stream that the scheduler knows nothing of.

A worker process appends a line before it begins to run a task and one after it ended, over a connection of
its own. The second is confirmed by the server before the function returns, so no result can be accepted
whose run was not witnessed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import hiredis

from nexus_sched.demo.ledger import Sighting
from nexus_sched.demo.server import Address

STREAM = "demo:witness"
READ_BYTES = 65_536

# hiredis' own stub says tuple of one; it takes any length.
_pack = cast("Callable[[tuple[str | int, ...]], bytes]", hiredis.pack_command)


class Witness:
    """A worker's writer. Appends are pipelined and confirmed in order."""

    def __init__(self, address: Address, worker: str) -> None:
        self._address = address
        self._worker = worker
        self._replies = hiredis.Reader()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def append(self, task_id: str, began: bool, at_ns: int) -> asyncio.Future[None]:
        """Send one line; the future returned is done when the server has it."""
        writer = await self._connected()
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(confirmed)
        words = ("XADD", STREAM, "*", "i", task_id, "w", self._worker, "b", int(began), "t", at_ns)
        writer.write(_pack(words))
        return confirmed

    async def close(self) -> None:
        """Close the connection. Never raises."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None:
                reader, self._writer = await self._address.connect()
                self._listener = asyncio.create_task(self._listen(reader))
            return self._writer

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(READ_BYTES):
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not False:
                confirmed = self._waiting.popleft()
                if confirmed.cancelled():
                    continue
                if isinstance(reply, hiredis.HiredisError):
                    confirmed.set_exception(reply)
                else:
                    confirmed.set_result(None)
        for confirmed in self._waiting:
            if not confirmed.done():
                confirmed.set_exception(ConnectionError("the witness stream is closed"))


def read_sighting(fields: Sequence[bytes]) -> Sighting:
    """The line in the fields of a stream entry, in the order in which `append` wrote them."""
    _, task_id, _, worker, _, began, _, at_ns = fields
    return Sighting(task_id.decode(), worker.decode(), began == b"1", int(at_ns))
