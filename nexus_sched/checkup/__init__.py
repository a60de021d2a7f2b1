"""What `nexus-sched doctor` makes of facts: `server`, `pool` and `shard` hold the checks, `check` what each says."""

from nexus_sched.checkup.check import Check, Level
from nexus_sched.checkup.pool import PoolFacts, check_pool
from nexus_sched.checkup.server import check_server
from nexus_sched.checkup.shard import ShardBounds, check_shard

__all__ = ["Check", "Level", "PoolFacts", "ShardBounds", "check_pool", "check_server", "check_shard"]
