"""From the configuration to the stores the gateway works on. The one module of this room that knows adapters."""

from __future__ import annotations

from nexus_sched.adapters.redis import RedisSubmitterStore
from nexus_sched.config.schema import Config
from nexus_sched.runtime.ports import SubmitterStore


def submitter_store(config: Config) -> SubmitterStore:
    """The store of the pool's tasks, not opened yet."""
    return RedisSubmitterStore(
        config.redis.url,
        config.pool.name,
        config.pool.shard,
        length_max=config.queue.length_max,
        bytes_max=config.queue.bytes_max,
    )
