"""How many requests a client may send, counted over all gateways in the store.

To ask the store for each request would cost more than the request. So a gateway takes permits in blocks of a hundredth
of the limit, and once the store says no, it says no by itself for some milliseconds. Two gateways under ten times
the load admit what is configured, to within the blocks that they hold.

The window slides: what was admitted in the former one counts less the longer ago it was. So a client that asks for too
much is served evenly, and is not refused for the rest of a second whose permits it took at its beginning.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from nexus_sched.config.schema import RateLimitSection
from nexus_sched.errors import RateLimited, StoreError
from nexus_sched.gateway.access.storage import Counters, SharedStorage
from nexus_sched.gateway.part import Part
from nexus_sched.units import MS_PER_S

log = structlog.get_logger("nexus_sched.gateway")

BLOCKS = 100  # into which a limit is cut
BLOCK_S_MAX = 0.25  # permits that were not used for so long are given up: they would come on top of a later window
ASK_AGAIN_S = 0.005  # after a no: half a block of one second comes free meanwhile
CLIENTS_MAX = 10_000  # remembered here; the store remembers all


class Quota(NamedTuple):
    """What a client is told of its limit."""

    limit: int
    window_s: int
    left: int


class _Client:
    """What one client has here."""

    __slots__ = ("asking", "denied_until_s", "left", "permits", "taken_at_s")

    def __init__(self) -> None:
        self.permits = 0
        self.taken_at_s = 0.0
        self.denied_until_s = 0.0
        self.left = 0  # by what the store said
        self.asking = asyncio.Lock()


class RateLimiter(Part):
    """The limit that all gateways of a pool share."""

    name = "rate limit"

    def __init__(self, counters: Counters, pool: str, section: RateLimitSection) -> None:
        self._counters = counters
        self._pool = pool
        self._clients: dict[str, _Client] = {}
        self._strategy = SlidingWindowCounterRateLimiter(SharedStorage(counters))
        self._failing = False
        self.configure(section)

    def configure(self, section: RateLimitSection) -> None:
        """Take over another limit."""
        self._window_s = max(1, round(section.window_ms / MS_PER_S))
        self._limit = section.requests_per_s * self._window_s
        self._block = max(1, self._limit // BLOCKS)
        self._item = RateLimitItemPerSecond(max(1, self._limit), self._window_s)
        self._clients.clear()

    async def start(self) -> None:
        """Nothing: the store need not be there yet."""

    async def stop(self) -> None:
        """Let go of the connection."""
        await self._counters.close()

    def problem(self) -> str:
        """Nothing: without the store no request is served anyway."""
        return ""

    @property
    def quota(self) -> Quota:
        """The limit, with nothing left of it."""
        return Quota(self._limit, self._window_s, 0)

    @property
    def active(self) -> bool:
        """Whether there is a limit at all."""
        return self._limit > 0

    async def admit(self, name: str) -> Quota:
        """Count one request of a client. Raises `RateLimited`."""
        client = self._clients.get(name)
        if client is None:
            if len(self._clients) >= CLIENTS_MAX:
                self._clients.clear()
            client = self._clients[name] = _Client()
        now_s = time.monotonic()
        if not self._usable(client, now_s):
            async with client.asking:
                now_s = time.monotonic()
                if not self._usable(client, now_s):
                    await self._take_block(client, name, now_s)
        if client.denied_until_s > now_s:
            after_ms = self._window_s * MS_PER_S
            raise RateLimited(f"more than {self._limit} requests in {self._window_s} s", after_ms)
        client.permits -= 1
        return Quota(self._limit, self._window_s, max(0, client.left + client.permits))

    def _usable(self, client: _Client, now_s: float) -> bool:
        """Whether it is known here what to say."""
        if client.denied_until_s > now_s:
            return True
        return client.permits > 0 and now_s - client.taken_at_s <= BLOCK_S_MAX

    async def _take_block(self, client: _Client, name: str, now_s: float) -> None:
        try:
            granted = await self._strategy.hit(self._item, self._pool, name, cost=self._block)
            left = 0
            if granted:
                left = (await self._strategy.get_window_stats(self._item, self._pool, name)).remaining
            self._failing = False
        except StoreError as error:  # the store's own part tells what it is
            if not self._failing:
                log.warning("requests are not counted", error=str(error))
            self._failing = True
            granted, left = True, 0
        client.taken_at_s = now_s
        client.permits = self._block if granted else 0
        client.left = left
        if not granted:
            client.denied_until_s = time.monotonic() + ASK_AGAIN_S
