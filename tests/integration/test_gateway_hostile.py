"""Whatever people and programs write comes back as data: escaped, in JSON, and never as a header or a page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
import redis

from nexus_sched.config.schema import HttpAuthSection
from nexus_sched.testing.gateway import gateway_config, running_gateway
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.hostile import HOSTILE, SEEDS
from tests.integration.shard import Shard, eventually, leading


@pytest.fixture
async def api(shard: Shard, server: TestServer) -> AsyncIterator[httpx.AsyncClient]:
    if server.kind != VALKEY:
        pytest.skip("what comes back is the same with both servers")
    config = gateway_config(shard.url, shard.pool, http_auth=HttpAuthSection(insecure_no_auth=True))
    async with running_gateway(config) as composed:
        assert composed.http is not None
        async with httpx.AsyncClient(base_url=composed.http.url, timeout=20.0) as client:
            yield client


def is_data(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-type"] in ("application/json", "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    assert not any(character < " " or character == "\x7f" for character in answer.text)
    json.loads(answer.text)


def test_there_are_enough_of_them():
    assert len(set(HOSTILE)) >= 200


async def test_hostile_texts_come_back_as_data(shard: Shard, api: httpx.AsyncClient):
    async with leading(shard):
        await eventually(lambda: seen(shard))
        for text in dict.fromkeys(HOSTILE):
            is_data(await api.post("/v1/tasks", json={"type": text, "args": [text], "eta": False}))
        for text in SEEDS:
            name = quote(text, safe="")[:3_000] or "-"
            for answer in (
                await api.post("/v1/tasks", json={"type": "t", "args": [text], "tenant": text[:200], "eta": False}),
                await api.post("/v1/tasks", json={"type": "t", "requires": [text], "eta": False}),
                await api.get(f"/v1/tasks/{name}"),
                await api.get(f"/v1/workers/{name}"),
                await api.post(f"/v1/workers/{name}:cordon", json={"reason": text}),
            ):
                is_data(answer)
        for text in ("<script>alert(1)</script>", "\x1b[31mred"):  # a pause is seen in the next picture only
            is_data(await api.post("/v1/pauses", json={"reason": text, "type": "t"}))
        reasons = [each["reason"] for each in (await api.get("/v1/audit", params={"limit": 1_000})).json()["records"]]
        assert "<script>alert(1)</script>" in reasons
        assert "\x1b[31mred" in reasons


async def seen(shard: Shard) -> bool:
    return await shard.frame() is not None


async def test_hostile_entries_of_producers_are_letters_that_can_be_read(
    shard: Shard, server: TestServer, api: httpx.AsyncClient
):
    with redis.Redis.from_url(server.url) as producer:
        for text in SEEDS:
            producer.xadd(f"{{nx:{shard.pool}:0}}:q:5", {"i": text or "-", "m": text, "b": text})
    async with leading(shard):
        await eventually(lambda: all_refused(api))
        answer = await api.get("/v1/dead-letters", params={"limit": 1_000})
        is_data(answer)
        assert all(letter["reason"] == "malformed" for letter in answer.json()["letters"])


async def all_refused(api: httpx.AsyncClient) -> bool:
    return len((await api.get("/v1/dead-letters", params={"limit": 1_000})).json()["letters"]) == len(SEEDS)
