"""The store on Redis or Valkey: one store for each party of a shard."""

from nexus_sched.adapters.redis.leader import RedisLeaderStore
from nexus_sched.adapters.redis.submitter import RedisSubmitterStore
from nexus_sched.adapters.redis.worker import RedisWorkerStore

__all__ = ["RedisLeaderStore", "RedisSubmitterStore", "RedisWorkerStore"]
