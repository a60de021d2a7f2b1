"""A task of the gateway's own goes through every stage, and the metric tells when; it stops when nobody works."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from nexus_sched.client import AsyncClient
from nexus_sched.model.task import CANARY_TYPE
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.programs import Programs
from tests.integration.test_gateway_process import address_of

TIMEOUT_S = 20.0
EVERY_MS = 200


def arrived_at_s(url: str) -> float:
    text = httpx.get(f"{url}/metrics").text
    found = re.search(r"^nexus_sched_canary_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def until(holds: Callable[[], bool]) -> None:
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < give_up_at_s
        time.sleep(0.05)


def until_arrived(url: str, after_s: float) -> float:
    until(lambda: arrived_at_s(url) > after_s)
    return arrived_at_s(url)


def test_canaries_come_through_while_somebody_works_and_wait_for_nobody(tmp_path: Path):
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "canary", tmp_path)
        try:
            programs.scheduler()
            door = ("--insecure-no-auth", "--set", "http.port=0", "--set", f"metrics.canary_every={EVERY_MS}ms")
            gateway = programs.start("run", "--role", "gateway", *door)
            url = address_of(gateway)
            assert arrived_at_s(url) == 0.0
            worker = programs.worker("w1", 1)
            before_s = time.time()
            first_s = until_arrived(url, 0.0)
            assert before_s <= first_s <= time.time()
            until_arrived(url, until_arrived(url, first_s))
            worker.terminate()
            worker.wait()
            time.sleep(10 * EVERY_MS / 1_000)
            until(lambda: asyncio.run(queued(server.url)) <= 2)  # those that nobody fetched were taken back
            until(lambda: "canaries do not come through" in gateway.output)
            programs.worker("w2", 1)
            until_arrived(url, time.time())
        finally:
            programs.close()


async def queued(url: str) -> int:
    async with AsyncClient(url, pool="canary") as client:
        return (await client.status()).queued


async def test_any_worker_serves_canaries_without_being_told_to(tmp_path: Path):
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "canary", tmp_path)
        try:
            programs.scheduler()
            programs.worker("w1", 1)
            async with AsyncClient(server.url, pool="canary") as client:
                handle = await client.submit(CANARY_TYPE)
                assert await handle.result(timeout=TIMEOUT_S) is None
        finally:
            programs.close()
