"""Section of the scheduler: how tasks are ordered, who may hold how much, and when a worker counts as gone."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DAY_MS, DURATION, HOT, MINUTE_MS
from nexus_sched.model.settings import EngineSettings

_ENGINE = EngineSettings()


class SchedulerSection(Struct, frozen=True, kw_only=True):
    """How tasks are ordered and placed, and when a worker counts as gone."""

    mode: Annotated[
        Literal["predictive", "shadow", "round-robin"],
        Meta(
            description="`predictive` places by predicted completion; `round-robin` takes turns; `shadow` takes "
            "turns while the predictor learns and is scored.",
            extra=HOT,
        ),
    ] = "predictive"
    fallback: Annotated[
        Literal["round-robin", "least-outstanding"],
        Meta(description="Who places when prediction has no answer or its breaker is open.", extra=HOT),
    ] = "round-robin"
    objective: Annotated[
        Literal["latency", "throughput", "balance", "custom"],
        Meta(
            description="What placement is after. `latency`: the soonest end; `throughput`: little worker time, so a "
            "task waits for a worker that is good at it; `balance`: workers used alike; `custom`: the weights as "
            "they are.",
            extra=HOT,
        ),
    ] = "latency"
    order: Annotated[
        Literal["fast", "predictable"],
        Meta(
            description="`fast` lets short tasks go first, as `order_weight` says; `predictable` nearly keeps the "
            "order of arrival, so that estimates of the end hold better.",
            extra=HOT,
        ),
    ] = "fast"
    order_weight: Annotated[
        float,
        Meta(
            description="How much a long prediction delays a task's turn: 0 is first come, first served; 1 lets a "
            "task pass those that take longer by more than it came later.",
            ge=0.0,
            le=100.0,
            extra=HOT,
        ),
    ] = _ENGINE.order_weight
    priority_credit_ms: Annotated[
        int,
        Meta(
            description="How much earlier one step of priority lets a task count as arrived.",
            ge=0,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="priority_credit", default=int(_ENGINE.priority_credit_ms))
    learn_requests: Annotated[
        bool,
        Meta(
            description="Let tasks that name no resource ask for what runs of their type were measured to use, where "
            "workers offer `cpu` or `memory`.",
            extra=HOT,
        ),
    ] = _ENGINE.learn_requests
    hold_for_faster: Annotated[
        bool,
        Meta(
            description="Let a free worker stay idle if waiting for a faster one ends a task sooner. Off, nothing "
            "waits while somebody could run it.",
            extra=HOT,
        ),
    ] = _ENGINE.hold_for_faster
    reserve_after_ms: Annotated[
        int,
        Meta(
            description="How long the first task of the queue may be passed over because no worker has what it asks "
            "for, before workers are kept free for it.",
            ge=0,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="reserve_after", default=int(_ENGINE.reserve_after_ms))
    prefetch: Annotated[
        int,
        Meta(
            description="Tasks a worker may hold beyond its slots. 0 waits for a free slot, at the price of a "
            "round trip between tasks.",
            ge=0,
            le=64,
            extra=HOT,
        ),
    ] = _ENGINE.prefetch
    prefetch_reach: Annotated[
        float,
        Meta(
            description="While all slots are busy, a task is sent ahead to a worker that is expected to have one free "
            "within so many round trips; until then it waits in the queue, where a better place may turn up.",
            ge=0.0,
            le=1_000_000.0,
            extra=HOT,
        ),
    ] = _ENGINE.prefetch_reach
    early_inbox_max: Annotated[
        int,
        Meta(
            description="Tasks a worker may hold in mode `round-robin`, where tasks are bound at arrival.",
            ge=1,
            le=1_000_000,
            extra=HOT,
        ),
    ] = _ENGINE.early_inbox_max
    round_trip_ms: Annotated[
        int,
        Meta(
            description="Way from the scheduler to a worker and back, until it is measured.",
            ge=0,
            le=MINUTE_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="round_trip", default=int(_ENGINE.round_trip_ms))
    backoff_ms: Annotated[
        int,
        Meta(
            description="Pause before a failed run is tried again, doubled each time; tasks may ask for another.",
            ge=0,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="backoff", default=int(_ENGINE.backoff_ms))
    backoff_ms_max: Annotated[
        int,
        Meta(description="Longest such pause.", ge=0, le=DAY_MS, extra=DURATION | HOT),
    ] = field(name="backoff_max", default=int(_ENGINE.backoff_ms_max))
    explain_top: Annotated[
        int,
        Meta(
            description="Workers on the bill that is recorded with each decision; 0 records nothing of why.",
            ge=0,
            le=16,
            extra=HOT,
        ),
    ] = _ENGINE.explain_top
    worker_killer_deaths: Annotated[
        int,
        Meta(description="Workers lost while running one task before it is dead-lettered.", ge=1, le=100, extra=HOT),
    ] = _ENGINE.worker_killer_deaths
    suspect_ms: Annotated[
        int,
        Meta(
            description="A worker silent for this long gets no new tasks until it is heard of again.",
            ge=100,
            le=DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="suspect", default=2_000)
    dead_ms: Annotated[
        int,
        Meta(
            description="A worker silent for this long is declared lost and its tasks go back to the queue. Alias: "
            "`heartbeat_timeout_ms`, in milliseconds.",
            ge=200,
            le=DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="dead", default=5_000)
    lease_ms: Annotated[
        int,
        Meta(
            description="How long a scheduler leads without renewing its lease; a standby takes over after it.",
            ge=200,
            le=10 * MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="lease", default=1_000)
    owner: Annotated[
        str,
        Meta(
            description="Name under which this scheduler holds the lease, such as the name of a pod. One that is "
            "started again under its name need not wait for its lease to run out; no two may run under one name. If "
            "empty, host and process.",
            pattern=r"^[A-Za-z0-9._-]{0,128}$",
        ),
    ] = ""
