"""The client against servers that behave badly: they are played here, byte by byte."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.replies import FunctionMissing, Redirection, RequestRefused, store_error
from nexus_sched.adapters.redis.resp import RespClient, pack
from nexus_sched.adapters.redis.subscription import parse_ended
from nexus_sched.errors import (
    StoreAuthRefused,
    StoreClusterDown,
    StoreError,
    StoreLoading,
    StoreMoved,
    StoreNotPersisting,
    StoreNotReplicated,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreUnreachable,
)

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PlayedServer:
    """A loopback server: answers the login's PING, then leaves each connection to `script`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections_count = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_count += 1
        try:
            await reader.readuntil(b"PING\r\n")
            writer.write(b"+PONG\r\n")
            await self.script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def played(script: Script, timeout_ms: int = 5_000) -> AsyncIterator[tuple[PlayedServer, RespClient]]:
    plot = PlayedServer(script)
    server = await asyncio.start_server(plot.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plot.url = f"redis://:secret@127.0.0.1:{port}"
    client = RespClient(parse_address(f"redis://127.0.0.1:{port}"), timeout_ms=timeout_ms, connect_timeout_ms=300)
    try:
        yield plot, client
    finally:
        await client.close()
        server.close()


async def commands(reader: asyncio.StreamReader, count: int) -> None:
    """Read `count` one-word commands."""
    for _ in range(count):
        await reader.readuntil(b"*1\r\n")
        await reader.readuntil(b"\r\n")
        await reader.readuntil(b"\r\n")


async def test_client_replies_in_pieces_are_matched_in_order() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader, 3)
        for piece in (b"$3\r\nab", b"c\r\n:4", b"2\r\n*2\r\n+x\r", b"\n$-1\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        await reader.read()

    async with played(script) as (_, client):
        assert await asyncio.gather(client.call("A"), client.call("B"), client.call("C")) == [b"abc", 42, [b"x", None]]


async def test_client_sends_what_is_called_at_once_in_one_write() -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(65_536))
        writer.write(b"+OK\r\n" * 50)
        await reader.read()

    async with played(script) as (_, client):
        await client.open()
        await asyncio.gather(*(client.call("A") for _ in range(50)))
    assert seen == [pack(("A",)) * 50]


async def test_client_lost_connection_fails_all_that_wait_and_none_is_repeated() -> None:
    received: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65_536))
        writer.write(b"+first\r\n")
        await writer.drain()

    async with played(script) as (server, client):
        await client.open()
        sent = [client.send(pack((name,))) for name in ("A", "B", "C")]
        replies = await asyncio.gather(*sent)
        assert replies[0] == b"first"
        assert [type(reply) for reply in replies[1:]] == [StoreUnreachable] * 2
        assert server.connections_count == 1
        assert await client.call("D") == b"first"
        assert server.connections_count == 2
    assert received == [pack(("A",)) + pack(("B",)) + pack(("C",)), pack(("D",))]


async def test_client_silent_server_is_given_up_at_the_deadline() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader, 1)
        writer.write(b"+one\r\n")
        await reader.read()

    async with played(script) as (_, client):
        # an earlier, longer deadline that was met must not stand in for the later, shorter one
        assert await client.call("BLOCKING", timeout_s=30.0) == b"one"
        began_at = time.monotonic()
        with pytest.raises(StoreUnreachable, match="no answer in time"):
            await client.call("A", timeout_s=0.02)
        assert time.monotonic() - began_at < 10.0


async def test_client_deadline_of_the_oldest_command_stands_for_all() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader, 1)
        writer.write(b"+one\r\n")
        await reader.read()

    async with played(script, timeout_ms=50) as (_, client):
        assert await client.call("A") == b"one"
        replies = await asyncio.gather(*(client.send(pack((name,))) for name in "BC"))
        assert [type(reply) for reply in replies] == [StoreUnreachable] * 2


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x01\x02", b"$-7\r\n", b"*1\r\n?\r\n"])
async def test_client_garbage_drops_the_connection(garbage: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader, 1)
        writer.write(garbage)
        await reader.read()

    async with played(script) as (_, client):
        with pytest.raises(StoreUnreachable, match="not the Redis protocol"):
            await client.call("A")


async def test_client_unasked_reply_drops_the_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader, 1)
        writer.write(b"+a\r\n+b\r\n")
        await reader.read()

    async with played(script) as (server, client):
        assert await client.call("A") == b"a"
        assert await client.call("A") == b"a"
        assert server.connections_count == 2


async def test_client_cancelled_call_does_not_shift_replies() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader, 2)
        writer.write(b"+one\r\n+two\r\n")
        await reader.read()

    async with played(script) as (_, client):
        await client.open()
        first = asyncio.ensure_future(client.call("A"))
        await asyncio.sleep(0.005)
        first.cancel()
        assert await client.call("B") == b"two"


async def test_client_without_server_backs_off_until_the_connect_timeout() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    client = RespClient(parse_address(f"redis://:secret@127.0.0.1:{port}"), connect_timeout_ms=120)
    began_at = time.monotonic()
    with pytest.raises(StoreUnreachable, match=r"cannot connect to redis://127\.0\.0\.1") as caught:
        await client.call("A")
    assert 0.05 < time.monotonic() - began_at < 2.0
    assert "secret" not in str(caught.value)
    await client.close()


async def test_client_calls_while_dialling_share_one_connection_and_keep_their_order() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = await reader.readexactly(len(pack(("A",))) * 5)
        writer.write(b"".join(b"+%c\r\n" % letter for letter in order if letter in b"ABCDE"))
        await reader.read()

    async with played(script) as (server, client):
        replies = await asyncio.gather(*(client.call(name) for name in "ABCDE"))
        assert replies == [b"A", b"B", b"C", b"D", b"E"]
        assert server.connections_count == 1


async def test_client_closed_refuses_until_opened_again() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await commands(reader, 1)
            writer.write(b"+OK\r\n")

    async with played(script) as (_, client):
        await client.call("A")
        await client.close()
        await client.close()
        with pytest.raises(StoreUnreachable, match="closed"):
            await client.call("A")
        await client.open()
        assert await client.call("A") == b"OK"


async def test_client_close_fails_what_waits() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with played(script) as (_, client):
        await client.open()
        waiting = client.send(pack(("A",)))
        await client.close()
        assert isinstance(await waiting, StoreUnreachable)


async def test_client_close_while_dialling_fails_what_waits_and_cancels_nobody(tmp_path: Path) -> None:
    client = RespClient(parse_address(f"unix://{tmp_path}/none"), connect_timeout_ms=60_000)
    waiting = asyncio.ensure_future(client.call("A"))
    opening = asyncio.ensure_future(client.open())
    cancelled = asyncio.ensure_future(client.open())
    await asyncio.sleep(0.01)
    cancelled.cancel()
    await client.close()
    for task in (waiting, opening):
        with pytest.raises(StoreUnreachable, match="closed"):
            await task
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_client_slow_reader_makes_callers_wait() -> None:
    release = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        while data := await reader.read(2**20):
            writer.write(b"+OK\r\n" * data.count(b"*2\r\n"))

    async with played(script) as (_, client):
        await client.open()
        blob = b"x" * (4 * 2**20)
        calls = [asyncio.ensure_future(client.call("SET", blob)) for _ in range(2)]
        await asyncio.sleep(0.02)
        late = asyncio.ensure_future(client.call("SET", blob))
        await asyncio.sleep(0.02)
        connection = client._connection
        assert connection is not None
        assert len(connection._waiting) == 2  # the third has not been sent
        release.set()
        assert await asyncio.gather(*calls, late) == [b"OK"] * 3


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("READONLY You can't write against a read only replica.", StoreReadOnly),
        ("MASTERDOWN Link with MASTER is down", StoreReadOnly),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", StoreReadOnly),
        ("CLUSTERDOWN The cluster is down", StoreClusterDown),
        ("NOREPLICAS Not enough good replicas to write.", StoreNotReplicated),
        ("LOADING Redis is loading the dataset in memory", StoreLoading),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreOutOfMemory),
        ("MISCONF Redis is configured to save RDB snapshots", StoreNotPersisting),
        ("NOAUTH Authentication required.", StoreAuthRefused),
        ("WRONGPASS invalid username-password pair", StoreAuthRefused),
        ("NOPERM this user has no permissions", StoreAuthRefused),
        ("ERR AUTH <password> called without any password configured for the default user.", StoreAuthRefused),
        ("ERR max number of clients reached", StoreUnreachable),
        ("ERR Function not found", FunctionMissing),
        ("MOVED 1234 10.0.0.1:6379", Redirection),
        ("ASK 1234 [::1]:6379", Redirection),
        ("MOVED 1234 :6379", Redirection),
        ("MOVED somewhere", StoreError),
        ("MOVED 1234 10.0.0.1:six", StoreError),
        ("TRYAGAIN Multiple keys request during rehashing of slot", StoreMoved),
        ("NXARGS submit: priority", RequestRefused),
        ("WRONGTYPE Operation against a key", StoreError),
        ("", StoreError),
    ],
)
def test_error_replies_become_typed_states(message: str, kind: type[StoreError]) -> None:
    assert type(store_error(message)) is kind


@pytest.mark.parametrize("message", [b"", b"a", b"a b", b"a b ", b"a b 2x", b"\xff b 1x", b"a \xff 1x"])
def test_ended_malformed_announcement_is_none(message: bytes) -> None:
    assert parse_ended(message) is None


def test_ended_announcement_is_read() -> None:
    assert parse_ended(b"a succeeded 1x y\x00") == ("a", "succeeded", b"x y\x00")
    assert parse_ended(b"a failed 0") == ("a", "failed", None)
    assert parse_ended(b"a succeeded 1") == ("a", "succeeded", b"")
