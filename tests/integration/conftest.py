"""Servers of both kinds, a fresh pool for each test, processes that end with it, and secrets that nobody may see.

What a test logs by itself, and every refusal and scrape that it is answered with, is searched for `canaries`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nexus_sched.testing.plugin import pool, server
from nexus_sched.testing.servers import TestServer
from tests.integration.canaries import search, secrets_in
from tests.integration.programs import Programs
from tests.integration.shard import Shard

__all__ = ["pool", "server"]


@pytest.fixture
def programs(server: TestServer, pool: str, tmp_path: Path) -> Iterator[Programs]:
    started = Programs(server.url, pool, tmp_path)
    yield started
    started.close()


@pytest.fixture
async def shard(server: TestServer, pool: str) -> AsyncIterator[Shard]:
    opened = Shard(server.url, pool)
    await opened.open()
    yield opened
    await opened.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was printed or logged in the whole of a test and not asked for by it, once it has ended."""
    report = yield
    if call.when == "teardown":
        search(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def answers_without_secrets() -> Iterator[None]:
    """Every refusal, and every scrape, that a client of these tests is answered with."""
    send, send_async = httpx.Client.send, httpx.AsyncClient.send

    def checked(answer: httpx.Response, request: httpx.Request, *, stream: bool) -> httpx.Response:
        if not stream and (answer.status_code >= httpx.codes.BAD_REQUEST or request.url.path == "/metrics"):
            found = secrets_in(answer.content + repr(answer.headers).encode())
            assert not found, f"{request.url} answers with secrets: {found}"
        return answer

    def plain(client: httpx.Client, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        return checked(send(client, request, stream=stream, **options), request, stream=stream)

    async def awaited(
        client: httpx.AsyncClient, request: httpx.Request, *, stream: bool = False, **options: Any
    ) -> httpx.Response:
        return checked(await send_async(client, request, stream=stream, **options), request, stream=stream)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(httpx.Client, "send", plain)
        patched.setattr(httpx.AsyncClient, "send", awaited)
        yield
