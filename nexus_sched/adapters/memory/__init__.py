"""Every port in memory: the model that simulators and tests run on."""

from nexus_sched.adapters.memory.audit import MemoryAuditStore
from nexus_sched.adapters.memory.inspector import MemoryInspectorStore
from nexus_sched.adapters.memory.leader import MemoryLeaderStore
from nexus_sched.adapters.memory.pool import MemoryPool, MemoryPoolStore, MemoryRegistryStore
from nexus_sched.adapters.memory.reporter import MemoryReporterStore
from nexus_sched.adapters.memory.shard import MemoryShard
from nexus_sched.adapters.memory.submitter import MemorySubmitterStore
from nexus_sched.adapters.memory.worker import MemoryWorkerStore

__all__ = [
    "MemoryAuditStore",
    "MemoryInspectorStore",
    "MemoryLeaderStore",
    "MemoryPool",
    "MemoryPoolStore",
    "MemoryRegistryStore",
    "MemoryReporterStore",
    "MemoryShard",
    "MemorySubmitterStore",
    "MemoryWorkerStore",
]
