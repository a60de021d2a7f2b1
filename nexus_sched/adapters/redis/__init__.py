"""The store on Redis or Valkey: one store for each party of a shard, and the follower of foreign streams."""

from nexus_sched.adapters.redis.inspector import RedisInspectorStore
from nexus_sched.adapters.redis.intake import IntakeFollower
from nexus_sched.adapters.redis.leader import RedisLeaderStore
from nexus_sched.adapters.redis.reporter import RedisReporterStore
from nexus_sched.adapters.redis.submitter import RedisSubmitterStore
from nexus_sched.adapters.redis.worker import RedisWorkerStore

__all__ = [
    "IntakeFollower",
    "RedisInspectorStore",
    "RedisLeaderStore",
    "RedisReporterStore",
    "RedisSubmitterStore",
    "RedisWorkerStore",
]
