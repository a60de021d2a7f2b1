"""Which adapter a worker's URL or gateway means. The one module of this room that knows adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_sched.runtime.ports import WorkerStore

if TYPE_CHECKING:
    from nexus_sched.sharding.worker import PoolWorkerStore


def connect_pool(
    url: str, pool: str, shard: int | None, *, result_ttl_s: int, shards: int | None = None, shared: bool = False
) -> PoolWorkerStore:
    """The store behind `url`, one server, Sentinels or a cluster, for workers of a pool, or of one shard of it.

    `shards` is their number where it is known; it settles that of a pool that is new. `shared`: the workers may come by
    other ways as well. Raises `InvalidInput` for a URL that means nothing.
    """
    from nexus_sched.adapters.redis.leader import RedisLeaderStore  # here: loaded only by those who connect
    from nexus_sched.adapters.redis.pool import RedisPoolStore
    from nexus_sched.sharding.worker import PoolWorkerStore

    async def was_led() -> bool:
        first = RedisLeaderStore(url, pool, 0)
        try:
            return await first.sequence() is not None
        finally:
            await first.close()

    def of_shard(number: int) -> WorkerStore:
        return connect_shard(url, pool, number, result_ttl_s=result_ttl_s)

    return PoolWorkerStore(RedisPoolStore(url, pool), of_shard, was_led, shard=shard, wanted=shards, shared=shared)


def connect_shard(url: str, pool: str, shard: int, *, result_ttl_s: int) -> WorkerStore:
    """The store of one shard. Raises `InvalidInput` for a URL that means nothing."""
    from nexus_sched.adapters.redis.worker import RedisWorkerStore

    return RedisWorkerStore(url, pool, shard, result_ttl_s=result_ttl_s)


def connect_gateway(
    target: str,
    pool: str | None = None,
    *,
    ca_file: str | None = None,
    certificate_file: str | None = None,
    key_file: str | None = None,
    token_file: str | None = None,
) -> WorkerStore:
    """The store behind a gateway at `host:port`, for workers of `pool`, or of the gateway's own.

    Raises `InvalidInput` for what is no such address.
    """
    from nexus_sched.adapters.grpc import GatewayAccess, GrpcWorkerStore  # here: loaded only by those who need it

    return GrpcWorkerStore(
        GatewayAccess(
            target=target,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
            token_file=token_file,
        ),
        pool,
    )
