"""What a client is told of its limit. That gateways share it exactly is measured by `benchmarks.gateway`."""

from __future__ import annotations

import asyncio
import re
import time

import httpx
import pytest
from limits import RateLimitItemPerSecond
from limits.aio.strategies import FixedWindowRateLimiter

from nexus_sched.adapters.redis import RedisCounters
from nexus_sched.config.schema import HttpAuthSection, RateLimitSection
from nexus_sched.errors import Conflict
from nexus_sched.gateway.access.storage import SharedStorage
from nexus_sched.testing.gateway import gateway_config, running_gateway
from nexus_sched.testing.servers import REDIS, VALKEY, ServerMissing, TestServer
from nexus_sched.testing.topologies import Cluster, SentinelSet

RATE_S = 5


async def test_refusal_tells_the_limit_and_when_to_come_again(server: TestServer, pool: str):
    config = gateway_config(
        server.url,
        pool,
        http_auth=HttpAuthSection(insecure_no_auth=True),
        http_rate_limit=RateLimitSection(requests_per_s=RATE_S),
    )
    async with running_gateway(config) as composed:
        assert composed.http is not None
        async with httpx.AsyncClient(base_url=composed.http.url, timeout=10.0) as client:
            answers = [await client.get("/v1/config") for _ in range(4 * RATE_S)]
            unlimited = [await client.get("/livez") for _ in range(RATE_S)]
    admitted = [answer for answer in answers if answer.status_code == 200]
    refusal = next(answer for answer in answers if answer.status_code != 200)
    policy = f'"default";q={RATE_S};w=1'
    left = re.fullmatch(r'"default";r=(\d+);t=1', admitted[0].headers["ratelimit"])
    assert left is not None
    assert int(left[1]) == RATE_S - 1
    assert refusal.status_code == 429
    assert refusal.json()["code"] == "RATE_LIMITED"
    assert int(refusal.headers["retry-after"]) == 1
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {policy}
    assert re.fullmatch(r'"default";r=0;t=\d+', refusal.headers["ratelimit"])
    assert {answer.status_code for answer in unlimited} == {200}


@pytest.mark.parametrize(("topology", "kind"), [(SentinelSet, REDIS), (Cluster, VALKEY)])
async def test_two_gateways_share_a_limit_and_a_trail_under_sentinels_and_in_a_cluster(
    topology: type[SentinelSet] | type[Cluster], kind: str, pool: str
):
    options: dict[str, object] = {"password": "pass word"} if topology is SentinelSet else {"replicas": 0}
    try:
        servers = topology(kind, **options)  # type: ignore[arg-type]  # passed through
    except ServerMissing as missing:
        pytest.skip(str(missing))
    async with servers:
        config = gateway_config(
            servers.url,
            pool,
            http_auth=HttpAuthSection(insecure_no_auth=True),
            http_rate_limit=RateLimitSection(requests_per_s=RATE_S, window_ms=30_000),
        )
        async with running_gateway(config) as one, running_gateway(config) as two:
            assert one.http is not None
            assert two.http is not None
            async with (
                httpx.AsyncClient(base_url=one.http.url, timeout=10.0) as first,
                httpx.AsyncClient(base_url=two.http.url, timeout=10.0) as second,
            ):
                reloaded = await first.post("/v1/config:reload", json={"reason": "a test"})
                assert reloaded.status_code == 200, reloaded.text
                records = (await second.get("/v1/audit")).json()["records"]
                assert [each["action"] for each in records][:1] == ["config.reload"]
                limit, admitted = 30 * RATE_S, 2
                while admitted < 2 * limit:
                    answers = await asyncio.gather(*(api.get("/v1/config") for api in (first, second) * 10))
                    admitted += sum(answer.status_code == 200 for answer in answers)
                    if {answer.status_code for answer in answers} == {429}:
                        break
                assert 0.9 * limit <= admitted <= limit


async def test_storage_does_what_the_library_asks_of_it(server: TestServer, pool: str):
    counters = RedisCounters(server.url, pool)
    storage, item = SharedStorage(counters), RateLimitItemPerSecond(3, 60)
    fixed = FixedWindowRateLimiter(storage)
    assert await storage.check()
    assert [await fixed.hit(item, "me") for _ in range(4)] == [True, True, True, False]
    assert [await fixed.hit(item, "you", cost=2) for _ in range(2)] == [True, False]
    stats = await fixed.get_window_stats(item, "me")
    assert stats.remaining == 0
    assert 0.0 < stats.reset_time - time.time() <= 61.0
    await fixed.clear(item, "me")
    assert await storage.get(item.key_for("me")) == 0
    assert [await storage.acquire_sliding_window_entry("k", 2, 60) for _ in range(3)] == [True, True, False]
    assert (await storage.get_sliding_window("k", 60))[::2] == (0, 2)
    await storage.clear_sliding_window("k", 60)
    assert await storage.acquire_sliding_window_entry("k", 2, 60)
    with pytest.raises(Conflict):
        await storage.reset()
    await counters.close()
    assert not await SharedStorage(RedisCounters("redis://127.0.0.1:1", pool)).check()
