"""The part of the configuration that decisions depend on, as the core knows it."""

from __future__ import annotations

from nexus_sched.config.schema import (
    Config,
    LimitSection,
    PreemptionSection,
    ReactionSection,
    WorkerBreakerSection,
)
from nexus_sched.model.settings import EngineSettings, Limit, Preemption, Reaction, WorkerBreakerSettings


def engine_settings(config: Config) -> EngineSettings:
    """What the engine runs with; becomes an event of the journal at the start of an epoch and when it changes."""
    scheduler, weights, predictor, breaker = config.scheduler, config.weights, config.predictor, config.breaker
    return EngineSettings(
        mode=scheduler.mode,
        fallback=scheduler.fallback,
        predictor=predictor.name,
        fallback_threshold=breaker.fallback_threshold,
        breaker_cooldown_ms=breaker.cooldown_ms,
        wait_weight=weights.wait,
        near_tie_share=weights.near_tie_share,
        near_tie_ms=float(weights.near_tie_ms),
        order_weight=scheduler.order_weight,
        priority_credit_ms=float(scheduler.priority_credit_ms),
        prefetch=scheduler.prefetch,
        prefetch_reach=scheduler.prefetch_reach,
        early_inbox_max=scheduler.early_inbox_max,
        worker_killer_deaths=scheduler.worker_killer_deaths,
        min_samples=predictor.min_samples,
        ema_alpha=predictor.ema_alpha,
        shadow_predictor=predictor.shadow,
        objective=scheduler.objective,
        order=scheduler.order,
        balance_ms=float(weights.balance_ms),
        fit_ms=float(weights.fit_ms),
        transfer_ms_per_mib=weights.transfer_ms_per_mib,
        affinity_ms=float(weights.affinity_ms),
        affinity_half_life_ms=float(weights.affinity_half_life_ms),
        affinity_keys_max=weights.affinity_keys_max,
        explore_share=weights.explore_share,
        explore_margin=weights.explore_margin,
        hold_for_faster=scheduler.hold_for_faster,
        learn_requests=scheduler.learn_requests,
        external_load_reference=weights.external_load_reference,
        reserve_after_ms=float(scheduler.reserve_after_ms),
        tenant_weights=dict(sorted(config.tenants.weights.items())),
        limits=tuple(_limit(limit) for limit in config.limits),
        backoff_ms=float(scheduler.backoff_ms),
        backoff_ms_max=float(scheduler.backoff_ms_max),
        round_trip_ms=float(scheduler.round_trip_ms),
        explain_top=scheduler.explain_top,
        worker_breaker=_worker_breaker(config.worker_breaker),
        reaction=_reaction(config.reaction),
        preemption=_preemption(config.preemption),
    )


def _limit(limit: LimitSection) -> Limit:
    return Limit(limit.scope, limit.name, limit.rate_per_s, limit.burst, limit.concurrency)


def _worker_breaker(section: WorkerBreakerSection) -> WorkerBreakerSettings:
    return WorkerBreakerSettings(
        failures=section.failures,
        success_min=section.success_min,
        window_ms=section.window_ms,
        window_runs_min=section.window_runs_min,
        open_ms=section.open_ms,
        open_ms_max=section.open_ms_max,
        ejected_share_max=section.ejected_share_max,
        panic_share=section.panic_share,
        slow_start_ms=section.slow_start_ms,
    )


def _reaction(section: ReactionSection) -> Reaction:
    return Reaction(
        move=section.move,
        pause_ms=section.pause_ms,
        gain_share_min=section.gain_share_min,
        gain_ms_min=float(section.gain_ms_min),
        moves_max=section.moves_max,
        speculate=section.speculate,
        speculate_after=section.speculate_after,
        copies_share_max=section.copies_share_max,
    )


def _preemption(section: PreemptionSection) -> Preemption:
    return Preemption(
        enabled=section.enabled,
        priority_gap=section.priority_gap,
        restart_ms=float(section.restart_ms),
        gain_min=section.gain_min,
        pause_ms=section.pause_ms,
        times_max=section.times_max,
    )
