"""One connection, with its bounds: how many there are, how long a head may be, how slow a client.

uvicorn's protocol on httptools bounds neither the head of a request nor the time that it may take. Here a clock runs
from the moment a request begins until its head, and then its body, is complete; who is late is cut off.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nexus_sched.config.schema import HttpSection
from nexus_sched.units import MS_PER_S


def bounded(http: HttpSection) -> type[asyncio.Protocol]:
    """The class of connections with these bounds."""

    class Bounded(_BoundedProtocol):
        bounds = http

    return Bounded


class _BoundedProtocol(HttpToolsProtocol):
    """A connection of the HTTP server."""

    bounds: HttpSection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # - as the base does
        """A client has connected: it has the time of an idle connection to begin."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections_max:
            transport.abort()
            return
        self._expect(self.bounds.idle_timeout_ms)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a head or of a body."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes == len(data):  # the first ones
                self._expect(self.bounds.head_timeout_ms)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.bounds.header_bytes_max and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        """The head is complete: the body follows."""
        self._in_head = False
        self._head_bytes = 0
        self._expect(self.bounds.body_timeout_ms)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is complete: the next head may begin."""
        self._in_head = True
        self._expect(None)
        super().on_message_complete()

    def _refuse(self) -> None:
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        self.transport.close()

    def _expect(self, within_ms: int | None) -> None:
        """Cut the client off unless what is expected comes in time; `None`: nothing is expected of it."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if within_ms is not None:
            self._deadline = self.loop.call_later(within_ms / MS_PER_S, self._late)

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()
