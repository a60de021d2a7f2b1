"""From the configuration to what serves a shard, and to how many shards there are to serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nexus_sched.cli.stores import intake_follower, leader_store, pool_store, wanted_shards
from nexus_sched.runtime.identity import is_dead
from nexus_sched.runtime.replica import Openable, Seat
from nexus_sched.runtime.service import Follower, Service, ServiceSettings
from nexus_sched.runtime.settling import settle_shards, tidy_places
from nexus_sched.sharding.hashing import shard_of

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.core.predictors.base import PredictorFactory
    from nexus_sched.model.replica import ShardId
    from nexus_sched.model.settings import EngineSettings


async def settled(config: Config) -> dict[str, int]:
    """Pool -> number of its shards, for all pools that are served; settled now where a pool is new.

    Raises `ShardsDiffer` if the configuration wants another number than a pool has.
    """
    names = [config.pool.name] if config.pool.shard is not None else sorted(config.pools) or [config.pool.name]
    serves = {}
    for name in names:
        pool = pool_store(config, name)
        try:
            await pool.open()
            serves[name] = await settle_shards(pool, leader_store(config, 0, name), name, wanted_shards(config, name))
        finally:
            await pool.close()
    return serves


def make_seat(
    config: Config,
    owner: str,
    predictors: Mapping[str, PredictorFactory],
    serves: Mapping[str, int],
    shard: ShardId,
    settings: EngineSettings,
) -> Seat:
    """All that serves one shard: its service, its stores, and the foreign streams that are followed from it.

    A stream is followed from one shard, by its name; its tasks go to the shards of their ids.
    """
    count = serves[shard.pool]
    store = leader_store(config, shard.number, shard.pool)
    streams = [
        intake_follower(config, intake, shard.pool, shard.number)
        for intake in config.intake
        if shard.pool == config.pool.name
        and (config.pool.shard is not None or shard_of(intake.stream, count) == shard.number)
    ]
    followers: list[Follower] = [stream.run for stream in streams]
    stores: list[Openable] = [store, *streams]
    if count > 1:
        pool = pool_store(config, shard.pool)
        followers.append(lambda _: tidy_places(pool, store, shard, count))
        stores.append(pool)
    of_shard = service_settings(config, owner, shard)
    return Seat(Service(store, of_shard, settings, predictors, followers, is_dead=is_dead), stores)


def service_settings(config: Config, owner: str, shard: ShardId) -> ServiceSettings:
    """What the service of a shard needs besides the engine's settings."""
    return ServiceSettings(
        pool=shard.pool,
        shard=shard.number,
        owner=owner,
        lease_ms=config.scheduler.lease_ms,
        suspect_ms=config.scheduler.suspect_ms,
        dead_ms=config.scheduler.dead_ms,
    )


def served_text(serves: Mapping[str, int], only: int | None) -> str:
    """For people: what is served."""
    first = next(iter(serves))
    if only is not None:
        return f"shard {only} of pool {first}"
    if list(serves.values()) == [1]:
        return f"pool {first}"
    return ", ".join(f"pool {name} ({count} shard{'' if count == 1 else 's'})" for name, count in serves.items())
