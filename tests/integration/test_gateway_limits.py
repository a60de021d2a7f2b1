"""What a client is told of its limit. That gateways share it exactly is measured by `benchmarks.gateway`."""

from __future__ import annotations

import re

import httpx

from nexus_sched.config.schema import HttpAuthSection, RateLimitSection
from nexus_sched.testing.gateway import gateway_config, running_gateway
from nexus_sched.testing.servers import TestServer

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
