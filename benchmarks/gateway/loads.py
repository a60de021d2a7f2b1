"""Submissions one by one, in batches, and with the scheduler's estimate in the answer.

The rates count by the gateway's own processor time, so that other processes of the machine do not count; latencies
are those of the clock, at a rate that leaves room.
"""

from __future__ import annotations

import json

import msgspec

from benchmarks.gateway.arrivals import SATURATION, Seen, arrive
from benchmarks.gateway.goals import ETA_RATE, SUBMIT_RATE
from benchmarks.gateway.options import Options
from benchmarks.gateway.site import Door, Site, set_up
from benchmarks.gateway.wire import post
from benchmarks.throughput.processor import waited_s

CONNECTIONS = 32
BATCH_TASKS = 500
BATCH_CONNECTIONS = 2
WARM_REQUESTS = 200
SLOTS = 64
PRIORITIES = 10
_US_PER_S = 1e6


class Cost:
    """Processor time of a gateway from here on, and what its neighbours waited for the machine."""

    def __init__(self, site: Site, door: Door) -> None:
        self._door = door
        self._pids = site.pids
        self._before_s = door.cpu_s()
        self._waited_s = {name: waited_s(pid) for name, pid in self._pids.items()}

    def us_per(self, things: int) -> float:
        """Microseconds of it for each of so many things."""
        return round((self._door.cpu_s() - self._before_s) * _US_PER_S / things, 1)

    def waited_us_per(self, things: int) -> dict[str, float]:
        """For each of so many things: how long each process could have run and others did."""
        return {
            name: round((waited_s(pid) - self._waited_s[name]) * _US_PER_S / things, 1)
            for name, pid in self._pids.items()
        }


async def submitted(options: Options) -> dict[str, object]:
    """Submissions at the promised rate, and as fast as they go. Nobody asks for an estimate."""
    async with set_up() as site:
        await site.scheduler()
        door = await site.gateway()
        return await site.guarded(_submitted(site, door, options))


async def _submitted(site: Site, door: Door, options: Options) -> dict[str, object]:
    await arrive(door.url, _submission, WARM_REQUESTS, SATURATION, CONNECTIONS)
    cost = Cost(site, door)
    paced = _accepted(await arrive(door.url, _submission, int(SUBMIT_RATE * options.seconds), SUBMIT_RATE, CONNECTIONS))
    paced_us, waited_us = cost.us_per(paced.requests), cost.waited_us_per(paced.requests)
    cost = Cost(site, door)
    flood = _accepted(await arrive(door.url, _submission, options.submissions, SATURATION, CONNECTIONS))
    flood_us = cost.us_per(flood.requests)
    sent = WARM_REQUESTS + paced.requests + flood.requests
    await site.frame(lambda frame: frame.queued == sent)  # each of them, once
    return {
        "offered_per_s": SUBMIT_RATE,
        "served_per_s": round(paced.requests / paced.spent_s),
        **_latencies(paced, SUBMIT_RATE),
        "gateway_us": paced_us,
        "waited_us": waited_us,
        "saturated": {
            "served_per_s": round(flood.requests / flood.spent_s),
            "p99_ms": flood.quantile_ms(0.99),
            "gateway_us": flood_us,
            "per_core_s": round(_US_PER_S / flood_us),
        },
        "queued": sent,
    }


async def batched(options: Options) -> dict[str, object]:
    """Batches as fast as they go."""
    async with set_up() as site:
        await site.scheduler()
        door = await site.gateway()
        return await site.guarded(_batched(site, door, options))


async def _batched(site: Site, door: Door, options: Options) -> dict[str, object]:
    bodies = [_batch(priority) for priority in range(PRIORITIES)]  # a queue of one priority would be full

    def request(number: int) -> bytes:
        return bodies[number % PRIORITIES]

    await arrive(door.url, request, 2, SATURATION, BATCH_CONNECTIONS)
    cost = Cost(site, door)
    seen = _accepted(await arrive(door.url, request, options.batches, SATURATION, BATCH_CONNECTIONS))
    tasks = seen.requests * BATCH_TASKS
    spent_us = cost.us_per(tasks)
    await site.frame(lambda frame: frame.queued == tasks + 2 * BATCH_TASKS)
    return {
        "tasks": tasks,
        "tasks_per_s": round(tasks / seen.spent_s),
        "p99_ms": seen.quantile_ms(0.99),
        "gateway_us_per_task": spent_us,
        "tasks_per_core_s": round(_US_PER_S / spent_us),
    }


async def estimated(options: Options) -> dict[str, object]:
    """Submissions that are answered with an estimate, while a worker runs them."""
    async with set_up() as site:
        await site.scheduler()
        await site.worker(SLOTS)
        door = await site.gateway()
        return await site.guarded(_estimated(site, door, options))


async def _estimated(site: Site, door: Door, options: Options) -> dict[str, object]:
    await arrive(door.url, _curious, WARM_REQUESTS, ETA_RATE, CONNECTIONS)
    cost = Cost(site, door)
    requests = int(ETA_RATE * options.seconds)
    seen = _accepted(await arrive(door.url, _curious, requests, ETA_RATE, CONNECTIONS, keep=True))
    told = sum(msgspec.json.decode(answer.body)["eta"] is not None for answer in seen.answers)
    return {
        "offered_per_s": ETA_RATE,
        "requests": seen.requests,
        "told": told,
        **_latencies(seen, ETA_RATE),
        "gateway_us": cost.us_per(seen.requests),
        "waited_us": cost.waited_us_per(seen.requests),
    }


def _submission(number: int) -> bytes:
    return post("/v1/tasks", b'{"type":"work","args":[%d],"eta":false}' % number)


def _curious(number: int) -> bytes:
    del number
    return post("/v1/tasks", b'{"type":"nothing"}')


def _batch(priority: int) -> bytes:
    tasks = [{"type": "work", "args": [number], "priority": priority} for number in range(BATCH_TASKS)]
    return post("/v1/tasks:batch", json.dumps({"tasks": tasks}).encode())


def _accepted(seen: Seen) -> Seen:
    """The same, if every request was taken."""
    if set(seen.statuses) != {202}:
        raise RuntimeError(f"not all were taken: {dict(seen.statuses)}")
    return seen


def _latencies(seen: Seen, rate: float) -> dict[str, float]:
    """Of all requests, and of the calmest second among them."""
    calmest = seen.calmest_ms(0.99, int(rate))
    return {"p50_ms": seen.quantile_ms(0.5), "p99_ms": seen.quantile_ms(0.99), "p99_ms_of_calmest_second": calmest}
