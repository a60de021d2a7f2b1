"""Every key of the configuration: one frozen struct a section, one annotated field a key.

The law of this folder: a key exists if and only if it is a field here, and its description is the one that
`config explain` and the reference page print. A field is named with its unit (`suspect_ms`), the key in
the file without it (`suspect = "2s"`), because the value there carries the unit itself. Defaults are
those of `EngineSettings` where a decision depends on them. A key marked `HOT` takes effect when the
configuration is read again; any other one at the next start.

`scheduler`, `placement` and `reaction` hold what decisions depend on, `shares` who gets how much, `prediction` who
predicts, `process` what concerns the process itself, `gateway` who faces people, `rpc` who faces workers,
`observation` what is measured; `kinds` is what a key may say of itself.
"""

from __future__ import annotations

from msgspec import Struct, field

from nexus_sched.config.schema.gateway import AuditSection, HttpAuthSection, HttpSection, RateLimitSection
from nexus_sched.config.schema.observation import MetricsSection, TracingSection
from nexus_sched.config.schema.placement import WeightsSection
from nexus_sched.config.schema.prediction import BreakerSection, PredictorSection
from nexus_sched.config.schema.process import (
    DispatchSection,
    LoggingSection,
    PoolSection,
    PoolTable,
    QueueSection,
    RedisSection,
    WorkerSection,
)
from nexus_sched.config.schema.reaction import PreemptionSection, ReactionSection, WorkerBreakerSection
from nexus_sched.config.schema.rpc import GrpcSection
from nexus_sched.config.schema.scheduler import SchedulerSection
from nexus_sched.config.schema.shares import LimitSection, TenantsSection
from nexus_sched.model.intake import IntakeSettings


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration, valid as a whole."""

    redis: RedisSection = field(default_factory=RedisSection)
    pool: PoolSection = field(default_factory=PoolSection)
    pools: dict[str, PoolTable] = field(default_factory=dict)
    scheduler: SchedulerSection = field(default_factory=SchedulerSection)
    weights: WeightsSection = field(name="scheduler.weights", default_factory=WeightsSection)
    reaction: ReactionSection = field(name="scheduler.reaction", default_factory=ReactionSection)
    preemption: PreemptionSection = field(name="scheduler.preemption", default_factory=PreemptionSection)
    worker_breaker: WorkerBreakerSection = field(default_factory=WorkerBreakerSection)
    tenants: TenantsSection = field(default_factory=TenantsSection)
    limits: list[LimitSection] = field(default_factory=list)
    predictor: PredictorSection = field(default_factory=PredictorSection)
    breaker: BreakerSection = field(default_factory=BreakerSection)
    dispatch: DispatchSection = field(default_factory=DispatchSection)
    queue: QueueSection = field(default_factory=QueueSection)
    intake: list[IntakeSettings] = field(default_factory=list)
    worker: WorkerSection = field(default_factory=WorkerSection)
    http: HttpSection = field(default_factory=HttpSection)
    http_auth: HttpAuthSection = field(name="http.auth", default_factory=HttpAuthSection)
    http_rate_limit: RateLimitSection = field(name="http.rate_limit", default_factory=RateLimitSection)
    grpc: GrpcSection = field(default_factory=GrpcSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    tracing: TracingSection = field(default_factory=TracingSection)
    audit: AuditSection = field(default_factory=AuditSection)
    logging: LoggingSection = field(default_factory=LoggingSection)


# Names at the top level that the first users of the scheduler know: alias -> (key, plain unit).
ALIASES: dict[str, tuple[str, str]] = {
    "redis_url": ("redis.url", ""),
    "fallback_threshold": ("breaker.fallback_threshold", ""),
    "heartbeat_timeout_ms": ("scheduler.dead", "ms"),
}

__all__ = [
    "ALIASES",
    "AuditSection",
    "BreakerSection",
    "Config",
    "DispatchSection",
    "GrpcSection",
    "HttpAuthSection",
    "HttpSection",
    "LimitSection",
    "LoggingSection",
    "MetricsSection",
    "PoolSection",
    "PoolTable",
    "PredictorSection",
    "PreemptionSection",
    "QueueSection",
    "RateLimitSection",
    "ReactionSection",
    "RedisSection",
    "SchedulerSection",
    "TenantsSection",
    "TracingSection",
    "WeightsSection",
    "WorkerBreakerSection",
    "WorkerSection",
]
