"""From the configuration to the store of each party: the one place where an adapter is chosen."""

from __future__ import annotations

from nexus_sched.adapters.redis import IntakeFollower, RedisInspectorStore, RedisLeaderStore, RedisSubmitterStore
from nexus_sched.config.schema import Config
from nexus_sched.units import MS_PER_S


def leader_store(config: Config) -> RedisLeaderStore:
    """The scheduler's store, not opened yet."""
    return RedisLeaderStore(
        config.redis.url,
        config.pool.name,
        config.pool.shard,
        publish=config.dispatch.publish,
        result_ttl_s=max(1, config.queue.result_ttl_ms // MS_PER_S),
    )


def submitter_store(config: Config) -> RedisSubmitterStore:
    """A submitter's store, not opened yet."""
    return RedisSubmitterStore(
        config.redis.url,
        config.pool.name,
        config.pool.shard,
        length_max=config.queue.length_max,
        bytes_max=config.queue.bytes_max,
    )


def inspector_store(config: Config) -> RedisInspectorStore:
    """The store of an inspection, not opened yet; opening it installs and checks nothing."""
    return RedisInspectorStore(config.redis.url, config.pool.name, config.pool.shard)


def intake_followers(config: Config) -> list[IntakeFollower]:
    """What follows the producers' own streams, not opened yet."""
    return [
        IntakeFollower(
            config.redis.url,
            config.pool.name,
            config.pool.shard,
            settings,
            length_max=config.queue.length_max,
            bytes_max=config.queue.bytes_max,
        )
        for settings in config.intake
    ]
