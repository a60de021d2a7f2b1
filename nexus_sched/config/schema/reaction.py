"""Sections of what happens when things do not go as predicted: moving, copying, preempting, ejecting."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DAY_MS, DURATION, HOT, MINUTE_MS
from nexus_sched.model.settings import Preemption, Reaction, WorkerBreakerSettings

_REACTION = Reaction()
_PREEMPTION = Preemption()
_BREAKER = WorkerBreakerSettings()


class ReactionSection(Struct, frozen=True, kw_only=True):
    """Moving tasks that have not started, and copies of tasks that run for too long."""

    move: Annotated[
        bool, Meta(description="Move tasks that have not started to workers that turned out sooner free.", extra=HOT)
    ] = _REACTION.move
    pause_ms: Annotated[
        int,
        Meta(description="Pause between two looks for such tasks.", ge=1, le=MINUTE_MS, extra=DURATION | HOT),
    ] = field(name="pause", default=_REACTION.pause_ms)
    gain_share_min: Annotated[
        float,
        Meta(
            description="A move must end the task sooner by at least this share of its predicted run time.",
            ge=0.0,
            le=100.0,
            extra=HOT,
        ),
    ] = _REACTION.gain_share_min
    gain_ms_min: Annotated[
        int,
        Meta(description="Lower bound of that gain.", ge=0, le=DAY_MS, extra=DURATION | HOT),
    ] = field(name="gain_min", default=int(_REACTION.gain_ms_min))
    moves_max: Annotated[int, Meta(description="Moves of one task.", ge=0, le=100, extra=HOT)] = _REACTION.moves_max
    speculate: Annotated[
        bool,
        Meta(
            description="Start a copy of a task that runs for too long, if it was submitted as idempotent; the first "
            "to end counts.",
            extra=HOT,
        ),
    ] = _REACTION.speculate
    speculate_after: Annotated[
        float,
        Meta(description="What too long means: this many times the predicted p95.", ge=1.0, le=1_000.0, extra=HOT),
    ] = _REACTION.speculate_after
    copies_share_max: Annotated[
        float, Meta(description="Share of all slots that copies may take.", ge=0.0, le=1.0, extra=HOT)
    ] = _REACTION.copies_share_max


class PreemptionSection(Struct, frozen=True, kw_only=True):
    """When a running task gives way to a more urgent one. It runs again later, and it is no failure."""

    enabled: Annotated[bool, Meta(description="Whether running tasks may be stopped at all.", extra=HOT)] = (
        _PREEMPTION.enabled
    )
    priority_gap: Annotated[
        int, Meta(description="Steps of priority between the two tasks.", ge=1, le=9, extra=HOT)
    ] = _PREEMPTION.priority_gap
    restart_ms: Annotated[
        int,
        Meta(
            description="What starting again costs, besides the work that is lost.",
            ge=0,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="restart", default=int(_PREEMPTION.restart_ms))
    gain_min: Annotated[
        float,
        Meta(
            description="Waiting that must be saved for each unit of work that is lost.", ge=0.0, le=1_000.0, extra=HOT
        ),
    ] = _PREEMPTION.gain_min
    pause_ms: Annotated[
        int,
        Meta(description="Pause between two preemptions of one task.", ge=0, le=DAY_MS, extra=DURATION | HOT),
    ] = field(name="pause", default=_PREEMPTION.pause_ms)
    times_max: Annotated[int, Meta(description="Preemptions of one task in its life.", ge=1, le=100, extra=HOT)] = (
        _PREEMPTION.times_max
    )


class WorkerBreakerSection(Struct, frozen=True, kw_only=True):
    """When a worker is left alone for a while because its runs fail, and how a new one starts."""

    failures: Annotated[
        int, Meta(description="Failed runs in a row that open a worker's breaker.", ge=1, le=1_000, extra=HOT)
    ] = _BREAKER.failures
    success_min: Annotated[
        float,
        Meta(description="A smaller share of runs that succeed opens it as well.", ge=0.0, le=1.0, extra=HOT),
    ] = _BREAKER.success_min
    window_ms: Annotated[
        int,
        Meta(description="The time over which that share is taken.", ge=1_000, le=DAY_MS, extra=DURATION | HOT),
    ] = field(name="window", default=_BREAKER.window_ms)
    window_runs_min: Annotated[
        int, Meta(description="Runs in that time from which on it counts.", ge=1, le=10_000, extra=HOT)
    ] = _BREAKER.window_runs_min
    open_ms: Annotated[
        int,
        Meta(
            description="How long it stays open, times how often it has opened.",
            ge=1,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="open", default=_BREAKER.open_ms)
    open_ms_max: Annotated[
        int, Meta(description="Longest time that it stays open.", ge=1, le=DAY_MS, extra=DURATION | HOT)
    ] = field(name="open_max", default=_BREAKER.open_ms_max)
    ejected_share_max: Annotated[
        float,
        Meta(description="Share of all workers whose breakers may be open at a time.", ge=0.0, le=1.0, extra=HOT),
    ] = _BREAKER.ejected_share_max
    panic_share: Annotated[
        float,
        Meta(
            description="From this share of unhealthy workers on all breakers are ignored: something else is wrong.",
            ge=0.0,
            le=1.0,
            extra=HOT,
        ),
    ] = _BREAKER.panic_share
    slow_start_ms: Annotated[
        int,
        Meta(
            description="How long it takes until a new worker may hold as many tasks as any other.",
            ge=0,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="slow_start", default=_BREAKER.slow_start_ms)
