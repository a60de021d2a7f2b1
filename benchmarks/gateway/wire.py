"""An HTTP/1.1 client that costs next to nothing, so that what is measured is the other side.

One request at a time on a connection that is kept. It understands what the gateway answers (a Content-Length, no
chunks) and nothing more.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Wire(asyncio.Protocol):
    """One connection; made by `connect`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone; whoever waits hears it."""
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._received += data
        head, end, body = self._received.partition(_HEAD_END)
        if not end or self._waiting is None:
            return
        length = int(head.partition(_LENGTH)[2].partition(b"\r\n")[0] or 0)
        if len(body) >= length and not self._waiting.done():
            self._received = b""
            self._waiting.set_result(Answer(int(head[9:12]), body))

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer. Raises `ConnectionError` if the connection is lost."""
        if self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    @property
    def open(self) -> bool:
        """Whether it stands."""
        return self._transport is not None

    def write(self, data: bytes) -> None:
        """Send what is no whole request; nothing if the connection is lost."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Let go of it."""
        if self._transport is not None:
            self._transport.close()


async def connect(url: str) -> Wire:
    """A connection to the gateway at `url`. Raises `ConnectionError`."""
    parts = urlsplit(url)
    _, wire = await asyncio.get_running_loop().create_connection(Wire, str(parts.hostname), int(parts.port or 0))
    return wire


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A POST request with a JSON body."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def get(path: str) -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
