"""Which adapter a client's URL means. The one module of this room that knows adapters."""

from __future__ import annotations

import os

from nexus_sched.runtime.ports import SubmitterStore

URL_DEFAULT = "redis://127.0.0.1:6379/0"
URL_VARIABLES = ("NEXUS__REDIS__URL", "NEXUS__REDIS_URL")  # those of the configuration, so all parts agree
POOL_VARIABLE = "NEXUS__POOL__NAME"


def default_url() -> str:
    """The server that the environment names, else the one on this machine."""
    return next((url for name in URL_VARIABLES if (url := os.environ.get(name))), URL_DEFAULT)


def default_pool() -> str:
    """The pool that the environment names, else `default`."""
    return os.environ.get(POOL_VARIABLE) or "default"


def connect(url: str, pool: str, shard: int) -> SubmitterStore:
    """The store behind `url`: one server, Sentinels or a cluster. Raises `InvalidInput` for anything else."""
    from nexus_sched.adapters.redis.submitter import RedisSubmitterStore  # here: loaded only by those who connect

    return RedisSubmitterStore(url, pool, shard)
