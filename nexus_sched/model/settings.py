"""The part of the configuration that decisions depend on. It is an input: journaled and replayed."""

from __future__ import annotations

from msgspec import Struct

PREDICTIVE = "predictive"
ROUND_ROBIN = "round-robin"
LEAST_OUTSTANDING = "least-outstanding"
SHADOW = "shadow"  # round robin decides, the predictor learns and is scored
MODES = (PREDICTIVE, SHADOW, ROUND_ROBIN)
FALLBACKS = (ROUND_ROBIN, LEAST_OUTSTANDING)


class EngineSettings(Struct, frozen=True, array_like=True, gc=False):
    """Bounds and weights of the core. Weights are milliseconds per millisecond, or milliseconds."""

    mode: str = PREDICTIVE
    fallback: str = ROUND_ROBIN  # who places when prediction has no answer or has failed
    predictor: str = "learned"
    fallback_threshold: int = 3  # consecutive failures that open the prediction breaker
    breaker_cooldown_ms: int = 5_000
    wait_weight: float = 2.0  # omega: a millisecond of waiting counts this much (placement.md, 3)
    near_tie_share: float = 0.1  # of the run time: scores this close count as equal
    near_tie_ms: float = 2.0
    order_weight: float = 1.0  # c in K = arrival + c * predicted - priority credit; 0 is first come first served
    priority_credit_ms: float = 10_000.0  # how much earlier one priority step lets a task count as arrived
    prefetch: int = 1  # tasks a worker may hold beyond its slots
    early_inbox_max: int = 10_000  # the bound instead, where the mode is round-robin: bound at arrival
    worker_killer_deaths: int = 2  # workers lost while running one task before it is dead-lettered
    min_samples: int = 1  # completions of a type before its estimate is used
    ema_alpha: float = 0.1
    shadow_predictor: str = ""  # learns and is scored beside the active one
