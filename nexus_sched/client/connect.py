"""Which adapter a client's URL means. The one module of this room that knows adapters."""

from __future__ import annotations

import os

from nexus_sched.runtime.ports import SubmitterStore

URL_DEFAULT = "redis://127.0.0.1:6379/0"
URL_VARIABLES = ("NEXUS__REDIS__URL", "NEXUS__REDIS_URL")  # those of the configuration, so all parts agree
POOL_VARIABLE = "NEXUS__POOL__NAME"
LENGTH_MAX_DEFAULT = 100_000  # queued tasks of one priority
BYTES_MAX_DEFAULT = 2**30  # payloads of all tasks that have not ended


def default_url() -> str:
    """The server that the environment names, else the one on this machine."""
    return next((url for name in URL_VARIABLES if (url := os.environ.get(name))), URL_DEFAULT)


def default_pool() -> str:
    """The pool that the environment names, else `default`."""
    return os.environ.get(POOL_VARIABLE) or "default"


def connect(
    url: str,
    pool: str,
    shard: int | None = None,
    *,
    shards: int | None = None,
    length_max: int = LENGTH_MAX_DEFAULT,
    bytes_max: int = BYTES_MAX_DEFAULT,
) -> SubmitterStore:
    """The store behind `url`, one server, Sentinels or a cluster; of the whole pool, or of one shard.

    `shards` is their number where it is known; it settles that of a pool that is new. The bounds are those of the pool,
    whose shards share them out evenly. Raises `InvalidInput` for a URL that means nothing.
    """
    from nexus_sched.adapters.redis.pool import RedisPoolStore  # here: loaded only by those who connect
    from nexus_sched.adapters.redis.submitter import RedisSubmitterStore
    from nexus_sched.sharding.submitter import PoolSubmitterStore

    def of_shard(number: int, count: int) -> SubmitterStore:
        return RedisSubmitterStore(
            url, pool, number, length_max=-(-length_max // count), bytes_max=-(-bytes_max // count)
        )

    if shard is not None:
        return of_shard(shard, 1)
    return PoolSubmitterStore(RedisPoolStore(url, pool), of_shard, shards)
