"""From a configuration to a gateway: which parts it has, and in which order they start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from nexus_sched.config.schema import Config
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.connect import reporter_store, submitter_store, worker_store
from nexus_sched.gateway.grpc.part import GrpcPart
from nexus_sched.gateway.health import Health
from nexus_sched.gateway.http.app import build_app
from nexus_sched.gateway.http.part import HttpPart
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.part import Part
from nexus_sched.gateway.picture import Picture
from nexus_sched.gateway.process import Gateway
from nexus_sched.gateway.store import PoolStore


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A gateway that has not been started, and what of it is asked for by name."""

    gateway: Gateway
    http: HttpPart | None
    grpc: GrpcPart | None


def compose(config: Config) -> Composed:
    """A gateway. Raises `ConfigInvalid` if it would be open to the world."""
    auth = config.http_auth
    authority = Authority(auth.tokens_file, insecure_no_auth=auth.insecure_no_auth)
    health = Health()
    pool = PoolStore(submitter_store(config), config.http.patience_ms)
    picture = Picture(pool)
    parts: list[Part] = [pool, picture]
    http = None
    if config.http.enabled:
        authority.check_listening(config.http.host, "http.host")
        services = Services(config=config, pool=pool, picture=picture, authority=authority, health=health)
        http = HttpPart(config.http, build_app(services))
        parts.append(http)
    grpc = None
    if config.grpc.enabled:
        waiter = partial(worker_store, config)
        grpc = GrpcPart(config.grpc, authority, worker_store(config), reporter_store(config), waiter)
        parts.append(grpc)
    return Composed(gateway=Gateway(parts, health), http=http, grpc=grpc)
