"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_sched.config.schema import Config
from nexus_sched.control.desk import Desk
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.access.limiter import RateLimiter
from nexus_sched.gateway.health import Health
from nexus_sched.gateway.metrics.source import Metrics
from nexus_sched.gateway.picture import Picture
from nexus_sched.gateway.reloading import Reloading
from nexus_sched.gateway.sending import SendSpans
from nexus_sched.gateway.store import PoolStore
from nexus_sched.gateway.submitting import Submitting


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of the gateway that the API speaks for."""

    config: Config
    pool: PoolStore
    picture: Picture
    authority: Authority
    limiter: RateLimiter
    health: Health
    metrics: Metrics
    desk: Desk
    submitting: Submitting
    sending: SendSpans
    reloading: Reloading
