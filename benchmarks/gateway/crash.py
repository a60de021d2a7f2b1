"""A gateway is killed while it is submitting, and its clients repeat what was not answered, under the same key.

No scheduler runs, so that every task that was submitted is still in the queue, as often as it was.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec

from benchmarks.gateway.options import Options
from benchmarks.gateway.site import Door, Site, set_up
from benchmarks.gateway.wire import Wire, connect, post
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.model.task import PRIORITY_DEFAULT

CUSTOMERS = 8
RETRY_S = 0.02
KILL_AT_SHARE = 0.3  # of the orders between two kills
POLL_S = 0.002


class Customer:
    """Submits orders, each until somebody has said yes, at any gateway that is there."""

    def __init__(self, name: str, doors: list[Door]) -> None:
        self.ids: dict[str, str] = {}
        self.repeats = 0
        self._name = name
        self._doors = doors
        self._wire: Wire | None = None

    async def order(self, number: int) -> None:
        """One more order."""
        key = f"{self._name}-{number}"
        request = post(
            "/v1/tasks", b'{"type":"work","args":["%s"],"eta":false}' % key.encode(), f"Idempotency-Key: {key}"
        )
        while True:
            try:
                if self._wire is None:
                    self._wire = await connect(self._doors[(number + self.repeats) % len(self._doors)].url)
                answer = await self._wire.ask(request)
            except OSError:
                self._wire = None
                self.repeats += 1
                await asyncio.sleep(RETRY_S)
                continue
            if answer.status != 202:
                raise RuntimeError(f"{answer.status}: {answer.body!r}")
            self.ids[key] = msgspec.json.decode(answer.body)["task_id"]
            return

    async def leave(self) -> None:
        """Let go of the connection, so that the next one is to any of the gateways."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None


async def crashed(options: Options) -> dict[str, object]:
    """Orders, kills, and what is in the queue afterwards."""
    async with set_up() as site:
        doors = [await site.gateway(mortal=True), await site.gateway(mortal=True)]
        return await site.guarded(_crashed(site, doors, options))


async def _crashed(site: Site, doors: list[Door], options: Options) -> dict[str, object]:
    customers = [Customer(f"customer-{number}", doors) for number in range(CUSTOMERS)]
    each = options.orders // CUSTOMERS
    for kill in range(options.kills):
        before = sum(len(customer.ids) for customer in customers)
        numbers = range(kill * each, (kill + 1) * each)
        ordering = asyncio.gather(*(_order(customer, numbers) for customer in customers))
        while sum(len(customer.ids) for customer in customers) - before < KILL_AT_SHARE * options.orders:
            if ordering.done():
                break
            await asyncio.sleep(POLL_S)
        victim = doors[kill % len(doors)]
        victim.child.process.kill()
        await asyncio.to_thread(victim.child.process.wait)
        await ordering
        doors[kill % len(doors)] = await site.gateway(mortal=True)
    queued = await _queued(site)
    ordered = {key: task_id for customer in customers for key, task_id in customer.ids.items()}
    return {
        "kills": options.kills,
        "orders": len(ordered),
        "repeats": sum(customer.repeats for customer in customers),
        "queued": queued.total(),
        "queued_twice": sum(count > 1 for count in queued.values()),
        "lost": len(set(ordered.values()) - set(queued)),
        "unknown": len(set(queued) - set(ordered.values())),
    }


async def _order(customer: Customer, numbers: range) -> None:
    for number in numbers:
        await customer.order(number)
    await customer.leave()


async def _queued(site: Site) -> Counter[str]:
    """How often each task is in the queue."""
    client = RespClient(parse_address(site.server.url))
    await client.open()
    try:
        entries = await client.call("XRANGE", site.store.keys.inputs[f"q:{PRIORITY_DEFAULT}"], "-", "+")
    finally:
        await client.close()
    return Counter(dict(zip(fields[::2], fields[1::2], strict=True))[b"i"].decode() for _, fields in entries)
