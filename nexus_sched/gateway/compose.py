"""From a configuration to a gateway: which parts it has, and in which order they start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from msgspec import structs

from nexus_sched.config.schema import Config, TracingSection
from nexus_sched.control.desk import Desk
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.access.limiter import RateLimiter
from nexus_sched.gateway.canary import Canary
from nexus_sched.gateway.connect import (
    audit_store,
    counters,
    frames_of,
    shards_of,
    submitter_store,
    workers_pools,
)
from nexus_sched.gateway.grpc.part import GrpcPart
from nexus_sched.gateway.health import Health
from nexus_sched.gateway.http.app import build_app
from nexus_sched.gateway.http.part import HttpPart
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.metrics.collector import Own
from nexus_sched.gateway.metrics.source import Metrics
from nexus_sched.gateway.part import Part
from nexus_sched.gateway.picture import Picture
from nexus_sched.gateway.process import Gateway
from nexus_sched.gateway.reloading import Reloading
from nexus_sched.gateway.sending import SendSpans
from nexus_sched.gateway.store import PoolStore
from nexus_sched.gateway.submitting import Submitting
from nexus_sched.gateway.tracer import Tracer
from nexus_sched.gateway.trail import TrailPart
from nexus_sched.tracing.sink import SpanSink, read_headers
from nexus_sched.units import MS_PER_S


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A gateway that has not been started, and what of it is asked for by name."""

    gateway: Gateway
    http: HttpPart | None
    grpc: GrpcPart | None
    services: Services | None


def compose(config: Config, read: Callable[[], Config] | None = None) -> Composed:
    """A gateway; `read` reads its configuration again. Raises `ConfigInvalid` if it would be open to the world."""
    auth = config.http_auth
    authority = Authority(auth.tokens_file, insecure_no_auth=auth.insecure_no_auth)
    health = Health()
    pool = PoolStore(submitter_store(config), config.http.patience_ms)
    picture = Picture(pool)
    grpc = _grpc_part(config, authority) if config.grpc.enabled else None
    drain_target_s = config.metrics.drain_target_ms / MS_PER_S
    sink = _sink(config.tracing)
    tracer = None if sink is None else Tracer(config.pool.name, partial(shards_of, pool.store), sink)
    canary = Canary(pool, config.metrics.canary_every_ms) if config.metrics.canary_every_ms else None
    metrics = Metrics(partial(frames_of, pool.store), partial(_own, grpc, tracer, canary), drain_target_s)
    parts: list[Part] = [pool, picture, metrics, *(part for part in (grpc, tracer, canary) if part is not None)]
    http = services = None
    if config.http.enabled:
        authority.check_listening(config.http.host, "http.host")
        trail = TrailPart(audit_store(config), config.audit)
        desk = Desk(pool.store, pool.client, trail.trail)
        reloading = Reloading(config, read or (lambda: config), desk)
        limiter = RateLimiter(counters(config), config.pool.name, config.http_rate_limit)
        reloading.listeners.append(lambda now: limiter.configure(now.http_rate_limit))
        services = Services(
            config=config,
            pool=pool,
            picture=picture,
            authority=authority,
            limiter=limiter,
            health=health,
            metrics=metrics,
            desk=desk,
            submitting=Submitting(pool, config.http.eta_wait_ms),
            sending=SendSpans(config.pool.name, sink),
            reloading=reloading,
        )
        http = HttpPart(config.http, build_app(services))
        parts += [trail, limiter, http]
    return Composed(gateway=Gateway(parts, health), http=http, grpc=grpc, services=services)


def _grpc_part(config: Config, authority: Authority) -> GrpcPart:
    return GrpcPart(config.grpc, authority, *workers_pools(config))


def _sink(section: TracingSection) -> SpanSink | None:
    """Where spans go, `None` for nowhere. The tracer closes it, when nobody has spans any more."""
    if not section.endpoint:
        return None
    return SpanSink(section.endpoint, "nexus-sched-gateway", read_headers(section.headers_file))


def _own(grpc: GrpcPart | None, tracer: Tracer | None, canary: Canary | None) -> Own:
    """What this gateway counts of itself."""
    own = Own(canary_at_s=0.0 if canary is None else canary.arrived_at_s)
    if tracer is not None:
        own = structs.replace(own, journal_follower_lag_s=tracer.lag_s, spans=tracer.spans)
    if grpc is None:
        return own
    doors, reports = grpc.service, [pool.reports for pool in grpc.pools.doors.values()]
    return structs.replace(
        own,
        grpc_streams=doors.streams.inside,
        grpc_reports=sum(each.reports for each in reports),
        grpc_packs=sum(each.packs for each in reports),
        grpc_refused=doors.streams.refused + doors.calls.refused,
    )
