"""Every key of the configuration: one frozen struct a section, one annotated field a key.

The law of this file: a key exists if and only if it is a field here, and its description is the one that
`config explain` and the reference page print. A field is named with its unit (`suspect_ms`), the key in
the file without it (`suspect = "2s"`), because the value there carries the unit itself. Defaults are
those of `EngineSettings` where a decision depends on them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from nexus_sched.model.intake import IntakeSettings
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.worker import SLOTS_MAX

DURATION = {"unit": "duration"}
SIZE = {"unit": "size"}
SECRET = {"secret": True}

_ENGINE = EngineSettings()
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000


class RedisSection(Struct, frozen=True, kw_only=True):
    """Where the queue lives."""

    url: Annotated[
        str,
        Meta(
            description="Server to use: redis://host:port/db, rediss:// for TLS, or unix:///path.",
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
            le=10 * _MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="connect_timeout", default=10_000)


class PoolSection(Struct, frozen=True, kw_only=True):
    """Which group of workers this process belongs to; all its keys share one hash tag."""

    name: Annotated[str, Meta(description="Name of the pool.", pattern=r"^[a-z0-9-]{1,64}$")] = "default"
    shard: Annotated[int, Meta(description="Number of the pool's shard.", ge=0, le=1023)] = 0


class SchedulerSection(Struct, frozen=True, kw_only=True):
    """How tasks are ordered and placed, and when a worker counts as gone."""

    mode: Annotated[
        Literal["predictive", "shadow", "round-robin"],
        Meta(
            description="`predictive` places by predicted completion; `round-robin` takes turns; `shadow` takes "
            "turns while the predictor learns and is scored."
        ),
    ] = "predictive"
    fallback: Annotated[
        Literal["round-robin", "least-outstanding"],
        Meta(description="Who places when prediction has no answer or its breaker is open."),
    ] = "round-robin"
    prefetch: Annotated[
        int,
        Meta(
            description="Tasks a worker may hold beyond its slots. 0 waits for a free slot, at the price of a "
            "round trip between tasks.",
            ge=0,
            le=64,
        ),
    ] = _ENGINE.prefetch
    early_inbox_max: Annotated[
        int,
        Meta(
            description="Tasks a worker may hold in mode `round-robin`, where tasks are bound at arrival.",
            ge=1,
            le=1_000_000,
        ),
    ] = _ENGINE.early_inbox_max
    order_weight: Annotated[
        float,
        Meta(
            description="How much a long prediction delays a task's turn: 0 is first come, first served; 1 lets a "
            "task pass those that take longer by more than it came later.",
            ge=0.0,
            le=100.0,
        ),
    ] = _ENGINE.order_weight
    priority_credit_ms: Annotated[
        int,
        Meta(
            description="How much earlier one step of priority lets a task count as arrived.",
            ge=0,
            le=_DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="priority_credit", default=int(_ENGINE.priority_credit_ms))
    wait_weight: Annotated[
        float,
        Meta(description="What a millisecond of waiting counts against one of running.", ge=0.0, le=100.0),
    ] = _ENGINE.wait_weight
    near_tie_share: Annotated[
        float,
        Meta(
            description="Workers whose scores differ by less than this share of the run time count as equal; the "
            "least utilised of them gets the task.",
            ge=0.0,
            le=1.0,
        ),
    ] = _ENGINE.near_tie_share
    near_tie_ms: Annotated[
        int,
        Meta(description="Lower bound of that difference.", ge=0, le=_MINUTE_MS, extra=DURATION),
    ] = field(name="near_tie", default=int(_ENGINE.near_tie_ms))
    worker_killer_deaths: Annotated[
        int,
        Meta(description="Workers lost while running one task before it is dead-lettered.", ge=1, le=100),
    ] = _ENGINE.worker_killer_deaths
    suspect_ms: Annotated[
        int,
        Meta(
            description="A worker silent for this long gets no new tasks until it is heard of again.",
            ge=100,
            le=_DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="suspect", default=2_000)
    dead_ms: Annotated[
        int,
        Meta(
            description="A worker silent for this long is declared lost and its tasks go back to the queue. Alias: "
            "`heartbeat_timeout_ms`, in milliseconds.",
            ge=200,
            le=_DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="dead", default=5_000)
    lease_ms: Annotated[
        int,
        Meta(
            description="How long a scheduler leads without renewing its lease; a standby takes over after it.",
            ge=200,
            le=10 * _MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="lease", default=3_000)


class PredictorSection(Struct, frozen=True, kw_only=True):
    """What predicts how long a task runs."""

    name: Annotated[
        str,
        Meta(
            description="Who predicts: an entry point in the group `nexus_sched.predictors`. `learned` and `ema` come "
            "with the package.",
            min_length=1,
            max_length=64,
        ),
    ] = _ENGINE.predictor
    shadow: Annotated[
        str,
        Meta(
            description="A predictor that learns beside the active one and is scored, but never asked to place. Empty "
            "for none.",
            max_length=64,
        ),
    ] = _ENGINE.shadow_predictor
    model: Annotated[
        str | None,
        Meta(
            description="Model file of `boosting`, as `nexus-sched predictor train` writes it. Models that are loaded "
            "by their digest are looked for beside it.",
        ),
    ] = None
    ema_alpha: Annotated[
        float,
        Meta(description="Share of the newest completion in the moving average of its type.", gt=0.0, le=1.0),
    ] = _ENGINE.ema_alpha
    min_samples: Annotated[
        int,
        Meta(description="Completions of a type before its estimate is used.", ge=1, le=10_000),
    ] = _ENGINE.min_samples


class BreakerSection(Struct, frozen=True, kw_only=True):
    """When prediction is switched off, and when it is tried again."""

    fallback_threshold: Annotated[
        int,
        Meta(
            description="Consecutive failures of prediction or scoring that open the breaker; any success resets "
            "the count. Alias: `fallback_threshold` at top level.",
            ge=1,
            le=1_000,
        ),
    ] = _ENGINE.fallback_threshold
    cooldown_ms: Annotated[
        int,
        Meta(description="How long the breaker stays open before one trial.", ge=1, le=_DAY_MS, extra=DURATION),
    ] = field(name="cooldown", default=_ENGINE.breaker_cooldown_ms)


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
            le=30 * _DAY_MS,
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
            le=_DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="drain_timeout", default=30_000)
    heartbeat_ms: Annotated[
        int,
        Meta(
            description="Longest pause between two signs of life. Keep it below half of `scheduler.suspect`.",
            ge=50,
            le=_MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="heartbeat", default=1_000)


class LoggingSection(Struct, frozen=True, kw_only=True):
    """Log lines go to standard error."""

    format: Annotated[Literal["console", "json"], Meta(description="`console` for people, `json` for machines.")] = (
        "console"
    )
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe level that is written.")
    ] = "info"


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration, valid as a whole."""

    redis: RedisSection = field(default_factory=RedisSection)
    pool: PoolSection = field(default_factory=PoolSection)
    scheduler: SchedulerSection = field(default_factory=SchedulerSection)
    predictor: PredictorSection = field(default_factory=PredictorSection)
    breaker: BreakerSection = field(default_factory=BreakerSection)
    dispatch: DispatchSection = field(default_factory=DispatchSection)
    queue: QueueSection = field(default_factory=QueueSection)
    intake: list[IntakeSettings] = field(default_factory=list)
    worker: WorkerSection = field(default_factory=WorkerSection)
    logging: LoggingSection = field(default_factory=LoggingSection)


# Names at the top level that the first users of the scheduler know: alias -> (key, plain unit).
ALIASES: dict[str, tuple[str, str]] = {
    "redis_url": ("redis.url", ""),
    "fallback_threshold": ("breaker.fallback_threshold", ""),
    "heartbeat_timeout_ms": ("scheduler.dead", "ms"),
}
