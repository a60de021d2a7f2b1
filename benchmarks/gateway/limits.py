"""Two gateways, one limit, and ten times as many requests as it admits."""

from __future__ import annotations

import asyncio

import msgspec

from benchmarks.gateway.arrivals import Seen, arrive
from benchmarks.gateway.options import Options
from benchmarks.gateway.site import Door, set_up
from benchmarks.gateway.wire import get

LIMIT_PER_S = 200
OVERLOAD = 10
GATEWAYS = 2
CONNECTIONS = 8
WARM_S = 2.0  # a client that comes anew may use up a window at once; then the limit is what it says
ADMITTED, REFUSED = 200, 429


async def limited(options: Options) -> dict[str, object]:
    """How much of the overload is admitted."""
    async with set_up() as site:
        setting = f"http.rate_limit.requests_per_s={LIMIT_PER_S}"
        doors = await asyncio.gather(*(site.gateway(setting) for _ in range(GATEWAYS)))
        return await site.guarded(_limited(doors, options.limited_s))


async def _limited(doors: list[Door], seconds: float) -> dict[str, object]:
    await _overload(doors, WARM_S)
    seen = await _overload(doors, seconds)
    spent_s = max(each.spent_s for each in seen)
    statuses = sum((each.statuses for each in seen), start=type(seen[0].statuses)())
    if set(statuses) != {ADMITTED, REFUSED}:
        raise RuntimeError(f"unexpected answers: {dict(statuses)}")
    codes = {msgspec.json.decode(each.body)["code"] for one in seen for each in one.answers if each.status == REFUSED}
    return {
        "limit_per_s": LIMIT_PER_S,
        "offered_factor": round(statuses.total() / spent_s / LIMIT_PER_S, 2),
        "admitted_per_s": round(statuses[ADMITTED] / spent_s, 1),
        "admitted_share": round(statuses[ADMITTED] / spent_s / LIMIT_PER_S, 4),
        "admitted_by_each": [each.statuses[ADMITTED] for each in seen],
        "codes": sorted(codes),
    }


async def _overload(doors: list[Door], seconds: float) -> list[Seen]:
    rate = OVERLOAD * LIMIT_PER_S / len(doors)
    request = get("/v1/config")
    loads = (arrive(door.url, lambda _: request, int(rate * seconds), rate, CONNECTIONS, keep=True) for door in doors)
    return await asyncio.gather(*loads)
