"""From the configuration to the store of each party: the one place where an adapter is chosen."""

from __future__ import annotations

from nexus_sched.adapters.redis import (
    IntakeFollower,
    RedisAuditStore,
    RedisInspectorStore,
    RedisLeaderStore,
    RedisPoolStore,
    RedisRegistryStore,
)
from nexus_sched.config.schema import Config, PoolTable
from nexus_sched.errors import InvalidInput
from nexus_sched.model.durability import Durability
from nexus_sched.model.intake import IntakeSettings
from nexus_sched.runtime.ports import SubmitterStore
from nexus_sched.units import MS_PER_S


def leader_store(config: Config, shard: int | None = None, pool: str | None = None) -> RedisLeaderStore:
    """The scheduler's store of a shard, not opened yet: of the pinned one, else of the first, if none is named."""
    return RedisLeaderStore(
        config.redis.url,
        pool or config.pool.name,
        shard if shard is not None else config.pool.shard or 0,
        publish=config.dispatch.publish,
        durability=Durability(config.redis.durability, config.redis.replica_timeout_ms),
        result_ttl_s=max(1, config.queue.result_ttl_ms // MS_PER_S),
    )


def submitter_store(config: Config, pool: str | None = None) -> SubmitterStore:
    """A submitter's store, not opened yet: of a whole pool, or of the shard that `pool.shard` pins."""
    from nexus_sched.client.connect import connect  # here: a scheduler starts without the client

    name = pool or config.pool.name
    return connect(
        config.redis.url,
        name,
        config.pool.shard if name == config.pool.name else None,
        shards=wanted_shards(config, name),
        length_max=config.queue.length_max,
        bytes_max=config.queue.bytes_max,
    )


def audit_store(config: Config) -> RedisAuditStore:
    """Where the trail of what people change is kept, not opened yet: with the pool's first shard."""
    return RedisAuditStore(config.redis.url, config.pool.name, config.pool.shard or 0)


def inspector_store(config: Config, shard: int | None = None) -> RedisInspectorStore:
    """The store of an inspection, not opened yet; opening it installs and checks nothing."""
    number = shard if shard is not None else config.pool.shard or 0
    return RedisInspectorStore(config.redis.url, config.pool.name, number)


def pool_store(config: Config, pool: str | None = None) -> RedisPoolStore:
    """What is known of a pool as a whole, not opened yet."""
    return RedisPoolStore(config.redis.url, pool or config.pool.name)


def registry_store(config: Config) -> RedisRegistryStore:
    """The registry of replicas, not opened yet."""
    return RedisRegistryStore(config.redis.url)


def intake_follower(config: Config, settings: IntakeSettings, pool: str, shard: int) -> IntakeFollower:
    """What follows one of the producers' own streams from a shard, not opened yet."""
    return IntakeFollower(config.redis.url, pool, shard, settings, submitter_store(config, pool))


def wanted_shards(config: Config, pool: str) -> int | None:
    """Into how many shards the configuration splits a pool, `None` if it does not say."""
    return config.pools.get(pool, PoolTable()).shards


async def shards_of(config: Config) -> list[int]:
    """The shards of the configured pool: the pinned one, else all that are settled, else the first."""
    if config.pool.shard is not None:
        return [config.pool.shard]
    store = pool_store(config)
    try:
        await store.open()
        return list(range((await store.shards()).count or 1))
    finally:
        await store.close()


async def one_shard(config: Config) -> int:
    """The shard that a command looks at which can only look at one. Raises `InvalidInput` if it has to be named."""
    found = await shards_of(config)
    if len(found) > 1:
        last = found[-1]
        raise InvalidInput(
            f"pool {config.pool.name!r} has {len(found)} shards: name one, with --set pool.shard=N, N from 0 to {last}"
        )
    return found[0]
