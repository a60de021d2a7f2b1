"""The part of the configuration that decisions depend on. It is an input: journaled and replayed."""

from __future__ import annotations

from msgspec import Struct

PREDICTIVE = "predictive"
ROUND_ROBIN = "round-robin"
LEAST_OUTSTANDING = "least-outstanding"
SHADOW = "shadow"  # round robin decides, the predictor learns and is scored
DIRECTED = "directed"  # not a mode: people chose the worker of one task
MODES = (PREDICTIVE, SHADOW, ROUND_ROBIN)
FALLBACKS = (ROUND_ROBIN, LEAST_OUTSTANDING)


FAST = "fast"
PREDICTABLE = "predictable"
ORDERS = (FAST, PREDICTABLE)
PREDICTABLE_WEIGHT_MAX = 0.2  # of the predicted length in the order key (placement.md, fact 2)
LATENCY, THROUGHPUT, BALANCE, CUSTOM = "latency", "throughput", "balance", "custom"
OBJECTIVES = (LATENCY, THROUGHPUT, BALANCE, CUSTOM)


class Limit(Struct, frozen=True, array_like=True):
    """What tasks of one kind may take together.

    `scope` is `type`, `tenant` or `key`; `name` one of them, or `*` for each by itself. A bound of 0 is none.
    """

    scope: str
    name: str
    rate_per_s: float = 0.0  # starts, by a token bucket of `burst`
    burst: float = 1.0
    concurrency: int = 0  # tasks handed out and not ended


class Preemption(Struct, frozen=True, array_like=True):
    """When a running task gives way to a more urgent one (placement.md, the engine's rules)."""

    enabled: bool = False
    priority_gap: int = 3
    restart_ms: float = 100.0  # what starting again costs besides the work that is lost
    gain_min: float = 1.5  # waiting saved per work lost
    pause_ms: int = 30_000  # between two preemptions of one task
    times_max: int = 3  # in its life


class WorkerBreakerSettings(Struct, frozen=True, array_like=True):
    """When a worker is left alone for a while (placement.md, the engine's rules)."""

    failures: int = 5  # in a row
    success_min: float = 0.8  # over the window, with at least `window_runs_min` runs
    window_ms: int = 30_000
    window_runs_min: int = 5
    open_ms: int = 30_000  # times how often it has opened
    open_ms_max: int = 300_000
    ejected_share_max: float = 0.1  # of the fleet
    panic_share: float = 0.5  # unhealthy: from here on breakers are ignored
    slow_start_ms: int = 5_000  # a new worker's credit grows to the full one over this long


class Reaction(Struct, frozen=True, array_like=True):
    """Moving what has not started, and copies of what runs too long (placement.md, re-scheduling)."""

    move: bool = True
    pause_ms: int = 100  # between two looks
    gain_share_min: float = 0.2  # of the predicted run time
    gain_ms_min: float = 20.0
    moves_max: int = 2  # of one task
    speculate: bool = False  # copies of tasks marked idempotent
    speculate_after: float = 1.5  # times the predicted p95
    copies_share_max: float = 0.05  # of the fleet's slots


class EngineSettings(Struct, frozen=True, array_like=True, gc=False):
    """Bounds and weights of the core. Weights are milliseconds per millisecond, or milliseconds."""

    mode: str = PREDICTIVE
    fallback: str = ROUND_ROBIN  # who places when prediction has no answer or has failed
    predictor: str = "learned"
    fallback_threshold: int = 3  # consecutive failures that open the prediction breaker
    breaker_cooldown_ms: int = 5_000
    wait_weight: float = 8.0  # omega: a millisecond of waiting counts this much (placement.md, 3)
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
    objective: str = LATENCY  # what the weights below default to; `custom` takes them as they are
    order: str = FAST
    balance_ms: float = 0.0  # per unit of utilisation
    fit_ms: float = 0.0  # per share of a worker's resources that would be left unused
    transfer_ms_per_mib: float = 0.0  # of payload, on workers without the task's affinity key
    affinity_ms: float = 50.0  # bonus where tasks of the same affinity key ran
    affinity_half_life_ms: float = 300_000.0
    affinity_keys_max: int = 10_000
    explore_share: float = 0.01  # of decisions, drawn by a hash of the task id
    explore_margin: float = 0.5  # of the run time: what counts as a near tie there
    learn_requests: bool = False  # tasks that name no resource ask for what their type was measured to use
    hold_for_faster: bool = False  # let a worker idle if waiting for a faster one ends sooner
    external_load_reference: float = 0.0  # share of a worker's processors that others use normally
    reserve_after_ms: float = 5_000.0  # a blocked head waits this long (and c * predicted) before workers are held
    tenant_weights: dict[str, float] = {}  # share of worker time; 1 if not named
    limits: tuple[Limit, ...] = ()
    backoff_ms: float = 1_000.0  # before the first retry of a failed run, doubled each time
    backoff_ms_max: float = 60_000.0
    round_trip_ms: float = 2.0  # scheduler to worker and back, until it is measured
    explain_top: int = 5  # workers on the bill that is recorded with a decision; 0: none, and nothing else of why
    worker_breaker: WorkerBreakerSettings = WorkerBreakerSettings()
    reaction: Reaction = Reaction()
    preemption: Preemption = Preemption()
    prefetch_reach: float = 3.0  # round trips before a slot is free: from then on the next task may be sent there
