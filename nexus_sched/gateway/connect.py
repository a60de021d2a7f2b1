"""From the configuration to the stores the gateway works on. The one module of this room that knows adapters."""

from __future__ import annotations

import asyncio
from functools import partial

from nexus_sched.adapters.redis import RedisAuditStore, RedisCounters, RedisPoolStore, RedisReporterStore
from nexus_sched.client.connect import connect
from nexus_sched.config.schema import Config, PoolTable
from nexus_sched.gateway.grpc.pools import PoolStores
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.runtime.ports import AuditStore, SubmitterStore
from nexus_sched.sharding.reporter import PoolReporterStore
from nexus_sched.sharding.submitter import PoolSubmitterStore
from nexus_sched.units import MS_PER_S
from nexus_sched.worker.connect import connect_pool, connect_shard


def submitter_store(config: Config) -> SubmitterStore:
    """The store of the pool's tasks over all its shards, not opened yet."""
    return connect(
        config.redis.url,
        config.pool.name,
        config.pool.shard,
        shards=config.pools.get(config.pool.name, PoolTable()).shards,
        length_max=config.queue.length_max,
        bytes_max=config.queue.bytes_max,
    )


def audit_store(config: Config) -> AuditStore:
    """Where the trail of what people change is kept, not opened yet: with the pool's first shard."""
    return RedisAuditStore(config.redis.url, config.pool.name, config.pool.shard or 0)


def counters(config: Config) -> RedisCounters:
    """Where requests are counted, for all gateways of the pool. Dials when it is used."""
    return RedisCounters(config.redis.url, config.pool.name)


def workers_pools(config: Config) -> tuple[dict[str, PoolStores], str | None]:
    """The stores of the pools whose workers are served, not opened yet, and the pool of those that name none.

    These are the pools that a scheduler of this configuration serves.
    """
    own, names = config.pool.name, [config.pool.name]
    if config.pool.shard is None:
        names = sorted(config.pools) or names
    return {name: _workers_stores(config, name) for name in names}, own if own in names else None


def _workers_stores(config: Config, name: str) -> PoolStores:
    url, shard = config.redis.url, config.pool.shard
    ttl_s = max(1, config.queue.result_ttl_ms // MS_PER_S)
    wanted = config.pools.get(name, PoolTable()).shards
    workers = connect_pool(url, name, shard, result_ttl_s=ttl_s, shards=wanted, shared=True)
    return PoolStores(
        workers=workers,
        reporter=PoolReporterStore(RedisPoolStore(url, name), partial(RedisReporterStore, url, name), shard),
        shard_of=workers.shard_of,
        waiter=partial(connect_shard, url, name, result_ttl_s=ttl_s),
    )


async def frames_of(store: SubmitterStore) -> list[Frame]:
    """The newest picture of each shard that has one. Raises a `StoreError`, or a `MsgspecError` for what is none."""
    blobs = await asyncio.gather(*(shard.frame() for shard in (await shards_of(store)).values()))
    return [decode_frame(blob) for blob in blobs if blob is not None]


async def shards_of(store: SubmitterStore) -> dict[int, SubmitterStore]:
    """The store of each shard by its number. Raises a `StoreError`."""
    return dict(enumerate(await store.each_shard() if isinstance(store, PoolSubmitterStore) else [store]))
