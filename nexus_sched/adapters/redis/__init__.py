"""The store on Redis or Valkey: one store for each party of a shard, those of pools and replicas, and the follower
of foreign streams.
"""

from nexus_sched.adapters.redis.audit import RedisAuditStore
from nexus_sched.adapters.redis.counters import RedisCounters
from nexus_sched.adapters.redis.inspector import RedisInspectorStore
from nexus_sched.adapters.redis.intake import IntakeFollower
from nexus_sched.adapters.redis.leader import RedisLeaderStore
from nexus_sched.adapters.redis.pool import RedisPoolStore
from nexus_sched.adapters.redis.registry import RedisRegistryStore
from nexus_sched.adapters.redis.reporter import RedisReporterStore
from nexus_sched.adapters.redis.submitter import RedisSubmitterStore
from nexus_sched.adapters.redis.worker import RedisWorkerStore

__all__ = [
    "IntakeFollower",
    "RedisAuditStore",
    "RedisCounters",
    "RedisInspectorStore",
    "RedisLeaderStore",
    "RedisPoolStore",
    "RedisRegistryStore",
    "RedisReporterStore",
    "RedisSubmitterStore",
    "RedisWorkerStore",
]
