"""Proof that a shard is whole: `survey` looks, `engine_view` compares with the scheduler's state, `inspect` does both
until what is found stays found, `repair` mends what is safe to mend; `findings` are the words and `store` the port.
"""

from nexus_sched.inspection.findings import Finding
from nexus_sched.inspection.inspect import Report, inspect_shard
from nexus_sched.inspection.repair import repair_all
from nexus_sched.inspection.store import InspectorStore, RepairStore

__all__ = ["Finding", "InspectorStore", "RepairStore", "Report", "inspect_shard", "repair_all"]
