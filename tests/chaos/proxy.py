"""The network of a run: each process reaches the server through a proxy of its own, on the loopback.

A proxy can hold everything back (what was sent meanwhile arrives when it is healed, late, as on a real network),
delay, lose replies with the connection, and damage frames. A `Trap` kills a process at an exact command.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

READ_BYTES = 65_536
FRAME_BYTES = b"+-:$*"  # a chunk that begins with one begins a frame
BEFORE, AFTER = "before", "after"


class Trap:
    """Springs when `command` comes by: `BEFORE` the server gets it, or `AFTER` it answered and nobody else knows."""

    def __init__(self, command: bytes, side: str, spring: Callable[[], object]) -> None:
        self.command = command
        self.side = side
        self._spring = spring
        self.forwarded = False
        self.sprung = asyncio.Event()

    def close(self) -> None:
        """It springs, once."""
        if not self.sprung.is_set():
            self.sprung.set()
            self._spring()


class Proxy:
    """From a port of the loopback to a server's socket. Counts what it did to the traffic."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path  # of the server; may be changed, for new connections
        self.port = 0
        self.delay_s = 0.0  # at most; each chunk gets its own
        self.replies_to_drop = 0
        self.frames_to_damage = 0
        self.trap: Trap | None = None
        self.touched = 0  # chunks held, delayed, dropped or damaged
        self._random = random.Random(seed)
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """What a process is told."""
        return f"redis://127.0.0.1:{self.port}/0"

    def hold(self) -> None:
        """A partition: connections stay, nothing comes through."""
        self._open.clear()

    def heal(self) -> None:
        """All is well again; what was held goes on its way."""
        self.delay_s, self.replies_to_drop, self.frames_to_damage, self.trap = 0.0, 0, 0, None
        self._open.set()

    def cut(self) -> None:
        """Break all connections."""
        for link in self._links:
            link.cancel()

    async def close(self) -> None:
        """Stop listening and break all connections."""
        self._open.set()
        if self._server is not None:
            self._server.close()
        links = list(self._links)
        self.cut()
        await asyncio.gather(*links, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        server: asyncio.StreamWriter | None = None
        try:
            answers, server = await asyncio.open_unix_connection(str(self.path))
            pumps = [
                asyncio.ensure_future(self._pump(reader, server, to_server=True)),
                asyncio.ensure_future(self._pump(answers, writer, to_server=False)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the other side of the proxy sees its connection close, as it would without one
        finally:
            self._links.discard(link)
            for end in (writer, server):
                if end is not None:
                    with contextlib.suppress(OSError, RuntimeError):
                        end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, to_server: bool) -> None:
        """Carry bytes one way until either end closes or a fault cuts the connection."""
        while data := await source.read(READ_BYTES):
            if not self._open.is_set():
                self.touched += 1
                await self._open.wait()
            if self.delay_s:
                self.touched += 1
                await asyncio.sleep(self._random.uniform(0.0, self.delay_s))
            if self.trap is not None and not self.trap.sprung.is_set():
                if to_server:
                    data = self._into_trap(self.trap, data)
                elif self.trap.forwarded:
                    self.trap.close()
                    return
            if not to_server and self.replies_to_drop > 0:
                self.replies_to_drop -= 1
                self.touched += 1
                return
            if self.frames_to_damage > 0 and data[0] in FRAME_BYTES:
                self.frames_to_damage -= 1
                self.touched += 1
                data = b"\xff" + data[1:]
            if data:
                sink.write(data)
                await sink.drain()
            if to_server and self.trap is not None and self.trap.sprung.is_set():
                return

    def _into_trap(self, trap: Trap, data: bytes) -> bytes:
        """What of `data` still reaches the server."""
        if trap.forwarded:
            return b""  # only what it answered to the command may be seen by nobody
        for start, end, words in commands(data):
            if trap.command in words[:2]:
                if trap.side == BEFORE:
                    trap.close()
                    return data[:start]
                trap.forwarded = True
                return data[:end]
        return data


def commands(data: bytes) -> Iterator[tuple[int, int, list[bytes]]]:
    """The whole commands that begin in `data`: where each starts and ends, and its first two words."""
    at = 0
    while at < len(data) and data[at : at + 1] == b"*":
        start = at
        head = data.find(b"\r\n", at)
        if head < 0:
            return
        count, at, words = int(data[at + 1 : head]), head + 2, []
        for _ in range(count):
            head = data.find(b"\r\n", at)
            if head < 0 or data[at : at + 1] != b"$":
                return
            length = int(data[at + 1 : head])
            if head + 2 + length + 2 > len(data):
                return
            if len(words) < 2:
                words.append(data[head + 2 : head + 2 + length])
            at = head + 2 + length + 2
        yield start, at, words
