"""Two gateways share one limit, and a gateway that is killed under load loses and doubles nothing."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import httpx
import pytest
import redis

from nexus_sched.model.payload import encode_arguments
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.programs import Program, Programs
from tests.integration.test_gateway_process import address_of

RATE_S = 400
LOADED_S = 4.0
TOLERANCE = 0.05


def gateway(programs: Programs, *settings: str) -> Program:
    flags = [part for setting in settings for part in ("--set", setting)]
    return programs.start("run", "--role", "gateway", "--insecure-no-auth", "--set", "http.port=0", *flags)


async def hammer(url: str, until_s: float, pause_s: float) -> tuple[int, int, httpx.Response | None]:
    """Ask as often as the pause allows; how often that was admitted, how often refused, and a refusal."""
    admitted = refused = 0
    refusal: httpx.Response | None = None
    async with httpx.AsyncClient(base_url=url, timeout=10.0) as client:
        while time.monotonic() < until_s:
            answer = await client.get("/v1/config")
            if answer.status_code == 200:
                admitted += 1
            else:
                assert answer.status_code == 429, answer.text
                refused, refusal = refused + 1, answer
            await asyncio.sleep(pause_s)
    return admitted, refused, refusal


async def test_two_gateways_admit_what_is_configured_between_them(tmp_path: Path):
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "limits", tmp_path)
        try:
            both = [gateway(programs, f"http.rate_limit.requests_per_s={RATE_S}") for _ in range(2)]
            urls = [address_of(each) for each in both]
            await asyncio.gather(*(hammer(url, time.monotonic() + 0.3, 0.0) for url in urls))  # begin a window
            began_s = time.monotonic()
            found = await asyncio.gather(*(hammer(url, began_s + LOADED_S, 0.0) for url in urls for _ in range(8)))
            spent_s = time.monotonic() - began_s
        finally:
            programs.close()
    admitted, refused = sum(each[0] for each in found), sum(each[1] for each in found)
    assert refused > RATE_S  # it was far more than that
    # Windows begin anew as soon as the former one ends: what is admitted follows the time to within one window's edge.
    assert admitted == pytest.approx(RATE_S * spent_s, rel=TOLERANCE + 1.0 / LOADED_S)
    refusal = next(each[2] for each in found if each[2] is not None)
    assert refusal.json()["code"] == "RATE_LIMITED"
    assert int(refusal.headers["retry-after"]) == 1
    assert refusal.headers["ratelimit-policy"] == f'"default";q={RATE_S};w=1'
    assert re.fullmatch(r'"default";r=0;t=\d+', refusal.headers["ratelimit"])


class Customer:
    """Submits orders, and repeats each under its key until somebody has said yes."""

    def __init__(self, name: str, urls: list[str]) -> None:
        self.name = name
        self.urls = urls
        self.ids: dict[str, str] = {}
        self.repeats = 0

    async def run(self, orders: int) -> None:
        limits = httpx.Limits(max_connections=2)
        async with httpx.AsyncClient(timeout=5.0, limits=limits) as client:
            for number in range(orders):
                await self.order(client, f"{self.name}-{number}")

    async def order(self, client: httpx.AsyncClient, key: str) -> None:
        body = {"type": "work", "args": [key], "eta": False}
        for attempt in range(1_000):
            url = self.urls[attempt % len(self.urls)]
            try:
                answer = await client.post(f"{url}/v1/tasks", json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError:
                self.repeats += 1
                await asyncio.sleep(0.01)
                continue
            assert answer.status_code == 202, answer.text
            self.ids[key] = answer.json()["task_id"]
            return
        raise AssertionError(f"nobody took {key}")


async def test_gateway_killed_under_load_submits_every_task_exactly_once(tmp_path: Path):
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "orders", tmp_path)
        try:
            victim, other = gateway(programs), gateway(programs)
            urls = [address_of(victim), address_of(other)]
            customers = [Customer(f"c{number}", urls) for number in range(6)]
            ordering = asyncio.gather(*(customer.run(120) for customer in customers))
            for _ in range(400):
                await asyncio.sleep(0.01)
                if sum(len(customer.ids) for customer in customers) > 150:
                    break
            victim.kill()
            await ordering
        finally:
            programs.close()
        ids = {key: task_id for customer in customers for key, task_id in customer.ids.items()}
        assert len(ids) == len(set(ids.values())) == 720
        assert sum(customer.repeats for customer in customers) > 0
        with redis.Redis.from_url(server.url) as store:
            queued = [fields[b"i"].decode() for _, fields in store.xrange("{nx:orders:0}:q:5")]
            assert sorted(queued) == sorted(ids.values())
            payload = store.get("{nx:orders:0}:p:" + ids["c3-7"])
            assert payload.endswith(encode_arguments(("c3-7",), None))
