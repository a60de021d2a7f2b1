"""The part of the configuration that decisions depend on, as the core knows it."""

from __future__ import annotations

from nexus_sched.config.schema import Config
from nexus_sched.model.settings import EngineSettings


def engine_settings(config: Config) -> EngineSettings:
    """What the engine runs with; becomes an event of the journal at the start of an epoch."""
    scheduler = config.scheduler
    return EngineSettings(
        mode=scheduler.mode,
        fallback=scheduler.fallback,
        predictor=config.predictor.name,
        fallback_threshold=config.breaker.fallback_threshold,
        breaker_cooldown_ms=config.breaker.cooldown_ms,
        wait_weight=scheduler.wait_weight,
        near_tie_share=scheduler.near_tie_share,
        near_tie_ms=float(scheduler.near_tie_ms),
        order_weight=scheduler.order_weight,
        priority_credit_ms=float(scheduler.priority_credit_ms),
        prefetch=scheduler.prefetch,
        early_inbox_max=scheduler.early_inbox_max,
        worker_killer_deaths=scheduler.worker_killer_deaths,
        min_samples=config.predictor.min_samples,
        ema_alpha=config.predictor.ema_alpha,
        shadow_predictor=config.predictor.shadow,
    )
