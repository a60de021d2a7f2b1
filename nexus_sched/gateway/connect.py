"""From the configuration to the stores the gateway works on. The one module of this room that knows adapters."""

from __future__ import annotations

from nexus_sched.client.connect import connect
from nexus_sched.config.schema import Config, PoolTable
from nexus_sched.runtime.ports import SubmitterStore


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
