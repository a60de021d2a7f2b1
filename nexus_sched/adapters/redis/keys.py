"""The names of a shard's keys: all of them share one hash tag, so one server holds them together.

Source: docs/reference/protocol.md. `FUNCTIONS` are the names of the library `nexus_v1`.
"""

from __future__ import annotations

from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import check_pool
from nexus_sched.runtime.ports import INPUT_STREAMS

SHARD_MAX = 65_535
REPLICAS = b"{nx}:replicas"  # of all pools of a server


class PoolKeys:
    """The keys of a pool as a whole. `meta` is what the functions are called on, as with a shard."""

    __slots__ = ("absent", "meta", "prefix", "workers")

    def __init__(self, pool: str) -> None:
        self.prefix = b"{nx:%s}" % check_pool(pool).encode()
        self.meta = self.prefix + b":shards"
        self.absent = self.prefix + b":absent"  # never exists
        self.workers = self.prefix + b":workers"


class ShardKeys:
    """All keys of one shard, as bytes, built once."""

    __slots__ = (
        "absent",
        "commands",
        "dead",
        "frame",
        "heartbeats",
        "inputs",
        "journal",
        "meta",
        "operations",
        "prefix",
        "suffixes",
    )

    def __init__(self, pool: str, shard: int) -> None:
        if not 0 <= shard <= SHARD_MAX:
            raise InvalidInput(f"shard {shard} is not in 0..{SHARD_MAX}")
        self.prefix = b"{nx:%s:%d}" % (check_pool(pool).encode(), shard)
        self.meta = self.key(b"meta")
        self.absent = self.key(b"absent")  # never exists
        self.heartbeats = self.key(b"wk")
        self.journal = self.key(b"ev")
        self.commands = self.key(b"cmd")
        self.frame = self.key(b"frame")
        self.dead = self.key(b"dead")
        self.operations = self.key(b"ops")
        self.inputs = {stream: self.key(stream.encode()) for stream in INPUT_STREAMS}
        self.suffixes = {key: stream for stream, key in self.inputs.items()}

    def key(self, suffix: bytes) -> bytes:
        """The key of any suffix."""
        return self.prefix + b":" + suffix

    def task(self, task_id: str) -> bytes:
        """The record of a task."""
        return b"%b:t:%b" % (self.prefix, task_id.encode())

    def payload(self, task_id: str) -> bytes:
        """The envelope of a task: its spec and payload."""
        return b"%b:p:%b" % (self.prefix, task_id.encode())

    def result(self, task_id: str) -> bytes:
        """The kept result of a task."""
        return b"%b:r:%b" % (self.prefix, task_id.encode())

    def answers(self, reply: str) -> bytes:
        """The list on which whoever asked under the name `reply` waits for the answer."""
        return b"%b:x:%b" % (self.prefix, reply.encode())

    def inbox(self, worker: str) -> bytes:
        """The inbox of a worker."""
        return b"%b:i:%b" % (self.prefix, worker.encode())

    def snapshot(self, seq: bytes) -> bytes:
        """The snapshot of the state after turn `seq`."""
        return b"%b:snap:%b" % (self.prefix, seq)


def done_channel(reply: str) -> bytes:
    """The pub/sub channel on which a submitter hears of its tasks' ends."""
    return b"nexus:done:" + reply.encode()
