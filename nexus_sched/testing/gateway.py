"""A real gateway on a free loopback port, within the loop of a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec import structs

from nexus_sched.config.schema import Config, PoolSection, RedisSection
from nexus_sched.gateway.compose import Composed, compose

START_TIMEOUT_S = 20.0


def gateway_config(url: str, pool: str, **sections: object) -> Config:
    """A configuration for a test's server and pool, on a free port; `http_auth=...` and others replace sections."""
    config = Config(redis=RedisSection(url=url), pool=PoolSection(name=pool))
    config = structs.replace(config, **sections)
    return structs.replace(config, http=structs.replace(config.http, port=0))


@contextlib.asynccontextmanager
async def running_gateway(config: Config) -> AsyncIterator[Composed]:
    """The gateway of this configuration while the block runs; `composed.http.url` is where it listens."""
    composed = compose(config)
    stopping = asyncio.Event()
    running = asyncio.create_task(composed.gateway.run(stopping))
    started = asyncio.create_task(composed.gateway.started.wait())
    try:
        await asyncio.wait((running, started), timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        yield composed
    finally:
        started.cancel()
        stopping.set()
        await asyncio.gather(running, started, return_exceptions=True)
