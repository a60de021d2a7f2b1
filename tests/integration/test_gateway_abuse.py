"""Clients that mean ill, or are only slow: they are cut off, and everybody else is served.

The long form, with ten thousand connections, is `make abuse`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest

from nexus_sched.config.schema import HttpAuthSection, HttpSection
from nexus_sched.gateway.compose import Composed
from nexus_sched.testing.gateway import gateway_config, running_gateway
from nexus_sched.testing.servers import VALKEY, TestServer

MIB = 2**20
CONNECTIONS = int(os.environ.get("NEXUS_ABUSE_CONNECTIONS", "500"))
GROWTH_BYTES_MAX = 100 * MIB
HEAD = b"POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def gateway(server: TestServer, pool: str) -> AsyncIterator[Composed]:
    if server.kind != VALKEY:
        pytest.skip("no request of these tests reaches the store")
    config = gateway_config(
        server.url,
        pool,
        http=HttpSection(head_timeout_ms=300, body_timeout_ms=300, idle_timeout_ms=30_000, connections_max=20_000),
        http_auth=HttpAuthSection(insecure_no_auth=True),
    )
    async with running_gateway(config) as composed:
        yield composed


async def served(gateway: Composed) -> None:
    assert gateway.http is not None
    async with httpx.AsyncClient(base_url=gateway.http.url, timeout=10.0) as client:
        assert (await client.get("/v1/config")).status_code == 200


async def connected(gateway: Composed) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    assert gateway.http is not None
    return await asyncio.open_connection("127.0.0.1", gateway.http.port)


async def cut_off(reader: asyncio.StreamReader, within_s: float = 5.0) -> bool:
    """Whether the other side ends the connection without a word."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(1), within_s) == b""
    return True


async def bomb(gateway: Composed, head: bytes, chunk: bytes, times: int) -> bytes:
    """The first line of what is answered to a flood; empty if the connection is just closed."""
    reader, writer = await connected(gateway)
    try:
        writer.write(head)
        for _ in range(times):
            writer.write(chunk)
            await writer.drain()
        return (await asyncio.wait_for(reader.read(200), 5.0)).partition(b"\r\n")[0]
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_slow_clients_are_cut_off_and_others_are_served(gateway: Composed):
    slow = [await connected(gateway) for _ in range(50)]
    for index, (_, writer) in enumerate(slow):
        writer.write(HEAD + b"X-Slow: " if index % 2 else HEAD + b'Content-Length: 100\r\n\r\n{"type":')
    await served(gateway)
    assert all(await asyncio.gather(*(cut_off(reader) for reader, _ in slow)))
    await served(gateway)


async def test_many_idle_connections_and_bombs_cost_little_memory(gateway: Composed):
    process = psutil.Process()
    await served(gateway)
    before = process.memory_info().rss
    idle = [await connected(gateway) for _ in range(CONNECTIONS)]
    await served(gateway)
    flood = b"a" * 65_536
    assert await bomb(gateway, HEAD + b"X-Bomb: ", flood, 400) in (b"", b"HTTP/1.1 431 Request Header Fields Too Large")
    assert await bomb(gateway, HEAD, b"X-Many: x\r\n" * 1_000, 400) in (
        *(b"", b"HTTP/1.1 431 Request Header Fields Too Large"),
        b"HTTP/1.1 400 Bad Request",
    )
    too_large = (b"", b"HTTP/1.1 413 Request Entity Too Large")
    assert await bomb(gateway, HEAD + b"Content-Length: 104857600\r\n\r\n", flood, 1_600) in too_large
    chunked = b"10000\r\n" + flood + b"\r\n"
    assert await bomb(gateway, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunked, 1_600) in too_large
    nested = b'{"type":"a","args":' + b"[" * 1_000_000
    length = b"Content-Length: %d\r\n\r\n" % len(nested)
    assert await bomb(gateway, HEAD + length + nested, b"", 0) == b"HTTP/1.1 400 Bad Request"
    await served(gateway)
    assert process.memory_info().rss - before < GROWTH_BYTES_MAX
    for _, writer in idle:
        writer.close()


async def test_connections_beyond_the_bound_are_closed_at_once(server: TestServer, pool: str):
    config = gateway_config(server.url, pool, http=HttpSection(connections_max=3))
    async with running_gateway(config) as gateway:
        held = [await connected(gateway) for _ in range(3)]
        reader, _ = await connected(gateway)
        assert await cut_off(reader)
        held[0][1].close()
        await held[0][1].wait_closed()
        await asyncio.sleep(0.1)
        reader, writer = await connected(gateway)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        for _, each in held:
            each.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET /v1/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET /v1/config HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /v1/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\n\xff\xfe",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_request_that_is_none_is_answered_with_4xx_or_not_at_all(gateway: Composed, request_bytes: bytes):
    reader, writer = await connected(gateway)
    writer.write(request_bytes)
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        first = (await asyncio.wait_for(reader.read(), 5.0)).partition(b"\r\n")[0]
        assert first == b"" or first.split()[1][:1] == b"4", first
    writer.close()
    await served(gateway)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "LOCALHOST:99"}, 200),
        ({"Host": "[::1]:99"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ({"Authorization": "Bearer nxt_a_b"}, 401),
    ],
)
async def test_foreign_names_pages_and_tokens_stay_outside(gateway: Composed, headers: dict[str, str], status: int):
    assert gateway.http is not None
    async with httpx.AsyncClient(base_url=gateway.http.url) as client:
        answer = await client.get("/v1/config", headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
