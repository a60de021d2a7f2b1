"""What can be asked of a server and a shard before anything is started: facts for `nexus-sched doctor`.

`None` stands for what the server does not tell, as managed services often forbid it.
"""

from __future__ import annotations

from msgspec import Struct


class ServerFacts(Struct, frozen=True, kw_only=True):
    """What the server says of itself."""

    product: str  # "redis" or "valkey"
    version: tuple[int, ...]
    round_trip_ms: float  # the median of some
    clock_offset_ms: float  # of the server against this machine
    role: str | None = None  # "master" or "slave"
    replicas: int | None = None
    cluster: bool | None = None
    append_only: bool | None = None
    append_fsync: str | None = None
    write_failed: bool | None = None  # the last attempt to write its files
    memory_used_bytes: int | None = None
    memory_max_bytes: int | None = None  # 0: no bound
    memory_policy: str | None = None
    clients: int | None = None
    clients_max: int | None = None
    evicted_keys: int | None = None  # since the server was started
    clustered_url: bool = False  # the address that was used is one of a cluster
    cluster_state: str | None = None  # "ok" or "fail", of a node of a cluster
    slots_moving: bool = False  # some slot of this node is on its way
    sentinels: int = 0  # that the address names, 0: it names none
    sentinels_answering: int = 0  # with a primary
    library: str | None = None  # "current", "newer", "other" or "missing"


class ShardFacts(Struct, frozen=True, kw_only=True):
    """What lies in one shard, in numbers."""

    exists: bool
    owner: str
    renewed: bool  # whether the lease was renewed while somebody looked
    seq: int
    queued: dict[str, int]  # stream -> length
    payload_bytes: int
    oldest_waiting_ms: int | None  # `None`: nothing waits
    workers_registered: int
    workers_beating: int  # whose counter moved while somebody looked
    letters: int
    letters_dropped: int
    durability: str = ""  # the level that whoever leads promises; empty: nobody ever led
    export_lag: int | None = None  # turns that an exporter has not taken yet, `None` without one
    export_max: int = 0  # turns that are kept for it
    alarms: tuple[str, ...] = ()  # of the newest picture
