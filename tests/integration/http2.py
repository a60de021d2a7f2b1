"""HTTP/2 by hand, for tests that send what no client library would.

Frames are those of RFC 9113; header fields are sent as literals that are never indexed (RFC 7541, 6.2.2), so nothing
has to be remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
UNKNOWN = 0x55  # a kind of frame that nobody has defined, to be ignored
CANCEL = 0x8  # an error code
ENHANCE_YOUR_CALM = 0xB
HEAD_BYTES = 9


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def field(name: bytes, value: bytes) -> bytes:
    """One header field; both shorter than 127 bytes."""
    return b"\x10" + bytes((len(name),)) + name + bytes((len(value),)) + value


def call(stream: int, path: str, token: str = "", *, flags: int = END_HEADERS) -> bytes:
    """The frame that begins a call of gRPC."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path.encode(),
        b":authority": b"localhost",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
    if token:
        fields[b"authorization"] = b"Bearer " + token.encode()
    return frame(HEADERS, flags, stream, b"".join(field(name, value) for name, value in fields.items()))


def reset(stream: int) -> bytes:
    """The frame that takes a call back."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def message(length: int, blob: bytes = b"") -> bytes:
    """A message that says it has so many bytes, and begins with these."""
    return b"\0" + struct.pack(">I", length) + blob


class Raw:
    """One connection. What comes in is only counted; the error of a GOAWAY is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        self._reader = reader
        self._answers = answers
        self.writer = writer
        self.goaway: int | None = None
        self.frames: dict[int, int] = {}
        self.ended = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, target: str, *, hello: bool = True) -> Raw:
        """Connect; with `hello` say what every client says first, and answer as every client does."""
        host, _, port = target.rpartition(":")
        raw = cls(*await asyncio.open_connection(host, int(port)), answers=hello)
        if hello:
            raw.writer.write(PREFACE + frame(SETTINGS))
        return raw

    async def send(self, blob: bytes) -> bool:
        """Whether the other side still takes it."""
        try:
            self.writer.write(blob)
            await self.writer.drain()
        except ConnectionError:
            return False
        return not self.ended.is_set()

    async def cut_off(self, within_s: float) -> bool:
        """Whether the other side ends the connection."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), within_s)
        return self.ended.is_set()

    async def close(self) -> None:
        """Hang up."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self.writer.close()

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await self._reader.readexactly(HEAD_BYTES)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags = head[3], head[4]
                self.frames[kind] = self.frames.get(kind, 0) + 1
                if kind == GOAWAY:
                    self.goaway = int.from_bytes(payload[4:8], "big")
                elif self._answers and kind in (SETTINGS, PING) and not flags & ACK:
                    self.writer.write(frame(kind, ACK, 0, b"" if kind == SETTINGS else payload))
        self.ended.set()
