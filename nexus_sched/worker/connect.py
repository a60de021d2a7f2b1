"""Which adapter a worker's URL means. The one module of this room that knows adapters."""

from __future__ import annotations

from nexus_sched.runtime.ports import WorkerStore


def connect(url: str, pool: str, shard: int, *, result_ttl_s: int) -> WorkerStore:
    """The store behind `url`: one server, Sentinels or a cluster. Raises `InvalidInput` for anything else."""
    from nexus_sched.adapters.redis.worker import RedisWorkerStore  # here: loaded only by those who connect

    return RedisWorkerStore(url, pool, shard, result_ttl_s=result_ttl_s)
