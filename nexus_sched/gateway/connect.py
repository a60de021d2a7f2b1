"""From the configuration to the stores the gateway works on. The one module of this room that knows adapters."""

from __future__ import annotations

import asyncio

from nexus_sched.adapters.redis import RedisAuditStore, RedisPoolStore, RedisReporterStore
from nexus_sched.client.connect import connect
from nexus_sched.config.schema import Config, PoolTable
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.runtime.ports import AuditStore, ReporterStore, SubmitterStore, WorkerStore
from nexus_sched.sharding.reporter import PoolReporterStore
from nexus_sched.sharding.submitter import PoolSubmitterStore
from nexus_sched.units import MS_PER_S
from nexus_sched.worker.connect import connect as connect_workers


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


def worker_store(config: Config) -> WorkerStore:
    """The store by which workers work, not opened yet."""
    ttl_s = max(1, config.queue.result_ttl_ms // MS_PER_S)
    wanted = config.pools.get(config.pool.name, PoolTable()).shards
    return connect_workers(config.redis.url, config.pool.name, config.pool.shard, result_ttl_s=ttl_s, shards=wanted)


def reporter_store(config: Config) -> ReporterStore:
    """The store by which many workers are reported for, not opened yet."""
    url, name = config.redis.url, config.pool.name
    pool = RedisPoolStore(url, name)
    return PoolReporterStore(pool, lambda shard: RedisReporterStore(url, name, shard), config.pool.shard)


async def frames_of(store: SubmitterStore) -> list[Frame]:
    """The newest picture of each shard that has one. Raises a `StoreError`, or a `MsgspecError` for what is none."""
    blobs = await asyncio.gather(*(shard.frame() for shard in (await shards_of(store)).values()))
    return [decode_frame(blob) for blob in blobs if blob is not None]


async def shards_of(store: SubmitterStore) -> dict[int, SubmitterStore]:
    """The store of each shard by its number. Raises a `StoreError`."""
    return dict(enumerate(await store.each_shard() if isinstance(store, PoolSubmitterStore) else [store]))
