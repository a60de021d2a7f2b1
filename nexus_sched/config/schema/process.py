"""Sections of the process itself: where its data is, what it bounds, how workers run, what is logged."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DAY_MS, DURATION, HOT, MINUTE_MS, SECRET, SIZE
from nexus_sched.model.durability import REPLICA_TIMEOUT_MS_DEFAULT
from nexus_sched.model.worker import SLOTS_MAX

POOL_PATTERN = r"^[a-z0-9-]{1,64}$"
SHARDS_MAX = 1_024


class RedisSection(Struct, frozen=True, kw_only=True):
    """Where the queue lives."""

    url: Annotated[
        str,
        Meta(
            description="Server to use: redis://host:port/db, rediss:// for TLS, unix:///path, "
            "redis+sentinel://host:port,host:port/service or redis+cluster://host:port,host:port.",
            max_length=2_000,
            extra={"kind": "url", **SECRET},
        ),
    ] = "redis://127.0.0.1:6379/0"
    url_file: Annotated[
        str | None,
        Meta(description="File whose first line is the URL, for URLs with a password; wins over `url`."),
    ] = None
    connect_timeout_ms: Annotated[
        int,
        Meta(
            description="How long `run` tries to reach the server at its start before it exits with code 4.",
            ge=100,
            le=10 * MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="connect_timeout", default=10_000)

    durability: Annotated[
        Literal["strict", "replicated", "relaxed"],
        Meta(
            description="What an acknowledgement is worth: `strict` (the server syncs its file first), `replicated` (a "
            "replica has it, too) or `relaxed` (the file follows within a second). Counts for all who use the shard.",
        ),
    ] = "strict"
    replica_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a write of level `replicated` waits for a replica. Keep it below half of "
            "`scheduler.lease`.",
            ge=10,
            le=MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="replica_timeout", default=REPLICA_TIMEOUT_MS_DEFAULT)


class PoolSection(Struct, frozen=True, kw_only=True):
    """Which group of workers this process belongs to."""

    name: Annotated[str, Meta(description="Name of the pool.", pattern=POOL_PATTERN)] = "default"
    shard: Annotated[
        Annotated[int, Meta(ge=0, le=SHARDS_MAX - 1)] | None,
        Meta(
            description="Only this shard of the pool, instead of all of them: for a scheduler or worker that is placed "
            "by hand, and for commands that look at one shard."
        ),
    ] = None


class PoolTable(Struct, frozen=True, kw_only=True):
    """One pool, by its name: a scheduler serves all that have a table here; without any, that of `[pool]`."""

    shards: Annotated[
        Annotated[int, Meta(ge=1, le=SHARDS_MAX)] | None,
        Meta(
            description="Into how many shards the pool is split, each with workers, a queue and a leader of its own. "
            "Settled for ever when the pool is first served; as settled if unset, and 1 for a new pool."
        ),
    ] = None


class DispatchSection(Struct, frozen=True, kw_only=True):
    """What happens besides the inbox when a task is handed out."""

    publish: Annotated[
        bool,
        Meta(
            description="Also PUBLISH each dispatch on `nexus:dispatch:<worker>`. The inbox stays the truth.",
        ),
    ] = False


class QueueSection(Struct, frozen=True, kw_only=True):
    """Bounds of what waits, and how long ends are remembered."""

    length_max: Annotated[
        int,
        Meta(description="Queued tasks a priority may hold; beyond it `submit` answers BUSY.", ge=1, le=10_000_000),
    ] = 100_000
    bytes_max: Annotated[
        int,
        Meta(
            description="Payload bytes that may wait; beyond it `submit` answers BUSY.",
            ge=1_024,
            le=2**40,
            extra=SIZE,
        ),
    ] = 2**30
    result_ttl_ms: Annotated[
        int,
        Meta(
            description="How long results and the ids of ended tasks are kept; a repeated id is recognised that long.",
            ge=1_000,
            le=30 * DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="result_ttl", default=3_600_000)


class WorkerSection(Struct, frozen=True, kw_only=True):
    """Defaults of `nexus-sched worker`."""

    slots: Annotated[
        Annotated[int, Meta(ge=1, le=SLOTS_MAX)] | None,
        Meta(description="Tasks a worker runs at once; one for each processor if unset."),
    ] = None
    drain_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a worker that was asked to stop lets running tasks finish.",
            ge=0,
            le=DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="drain_timeout", default=30_000)
    heartbeat_ms: Annotated[
        int,
        Meta(
            description="Longest pause between two signs of life. Keep it below half of `scheduler.suspect`.",
            ge=50,
            le=MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="heartbeat", default=1_000)
    alone: Annotated[
        bool,
        Meta(
            description="It is the only worker on its machine: what else takes the processors there makes its slots "
            "count less. How busy the machine is is reported in any case.",
        ),
    ] = False
    gateway: Annotated[
        str,
        Meta(
            description="Work through the gateway at host:port (its `grpc.port`) instead of the server at `redis.url`.",
            max_length=300,
        ),
    ] = ""
    gateway_ca_file: Annotated[
        str | None,
        Meta(description="File with the authorities that sign the gateway's certificate; with it the worker uses TLS."),
    ] = None
    certificate_file: Annotated[
        str | None,
        Meta(description="File with the worker's own certificate, of which its id is an alternative name."),
    ] = None
    key_file: Annotated[str | None, Meta(description="File with that certificate's private key.")] = None
    token_file: Annotated[
        str | None, Meta(description="File whose first line is a token of the role worker, for the gateway.")
    ] = None


class LoggingSection(Struct, frozen=True, kw_only=True):
    """Log lines go to standard error."""

    format: Annotated[
        Literal["console", "json"], Meta(description="`console` for people, `json` for machines.", extra=HOT)
    ] = "console"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe level that is written.", extra=HOT)
    ] = "info"
