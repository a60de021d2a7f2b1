"""Which adapter a client's URL means. The one module of this room that knows adapters."""

from __future__ import annotations

from nexus_sched.runtime.ports import SubmitterStore


def connect(url: str, pool: str, shard: int) -> SubmitterStore:
    """The store behind `url`: redis://, rediss:// or unix://. Raises `InvalidInput` for anything else."""
    from nexus_sched.adapters.redis.submitter import RedisSubmitterStore  # here: loaded only by those who connect

    return RedisSubmitterStore(url, pool, shard)
