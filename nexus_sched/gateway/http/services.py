"""What the routes work with."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_sched.config.schema import Config
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.health import Health
from nexus_sched.gateway.metrics.source import Metrics
from nexus_sched.gateway.picture import Picture
from nexus_sched.gateway.store import PoolStore


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts of the gateway that the API speaks for."""

    config: Config
    pool: PoolStore
    picture: Picture
    authority: Authority
    health: Health
    metrics: Metrics
