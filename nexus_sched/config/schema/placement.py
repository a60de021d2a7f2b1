"""Section of the weights: what counts how much when a worker is chosen. All in the bill's unit, milliseconds."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DAY_MS, DURATION, HOT, MINUTE_MS
from nexus_sched.model.settings import EngineSettings

_ENGINE = EngineSettings()


class WeightsSection(Struct, frozen=True, kw_only=True):
    """What counts how much when a worker is chosen."""

    wait: Annotated[
        float,
        Meta(description="What a millisecond of waiting counts against one of running.", ge=0.0, le=100.0, extra=HOT),
    ] = _ENGINE.wait_weight
    balance_ms: Annotated[
        int,
        Meta(
            description="What a worker that is busy all the time costs against an idle one. Counts under the "
            "objectives `balance`, where 0 takes a value of its own, and `custom`.",
            ge=0,
            le=MINUTE_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="balance", default=int(_ENGINE.balance_ms))
    fit_ms: Annotated[
        int,
        Meta(
            description="What it costs to leave all of a worker's resources unused, so that room for large tasks "
            "stays. Counts under the objectives `throughput`, where 0 takes a value of its own, and `custom`.",
            ge=0,
            le=MINUTE_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="fit", default=int(_ENGINE.fit_ms))
    transfer_ms_per_mib: Annotated[
        float,
        Meta(
            description="Milliseconds for each MiB of payload, where nothing of the task's affinity key ran.",
            ge=0.0,
            le=60_000.0,
            extra=HOT,
        ),
    ] = _ENGINE.transfer_ms_per_mib
    affinity_ms: Annotated[
        int,
        Meta(
            description="How much longer a task may wait for a worker where others of its affinity key have just run; "
            "tasks may ask for more or less.",
            ge=0,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="affinity", default=int(_ENGINE.affinity_ms))
    affinity_half_life_ms: Annotated[
        int,
        Meta(
            description="After this long without such a run it is worth half.",
            ge=1,
            le=DAY_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="affinity_half_life", default=int(_ENGINE.affinity_half_life_ms))
    affinity_keys_max: Annotated[
        int,
        Meta(description="Affinity keys that are remembered; the oldest is forgotten.", ge=1, le=1_000_000, extra=HOT),
    ] = _ENGINE.affinity_keys_max
    near_tie_share: Annotated[
        float,
        Meta(
            description="Workers whose scores differ by less than this share of the run time count as equal; the "
            "least utilised of them gets the task.",
            ge=0.0,
            le=1.0,
            extra=HOT,
        ),
    ] = _ENGINE.near_tie_share
    near_tie_ms: Annotated[
        int,
        Meta(description="Lower bound of that difference.", ge=0, le=MINUTE_MS, extra=DURATION | HOT),
    ] = field(name="near_tie", default=int(_ENGINE.near_tie_ms))
    explore_share: Annotated[
        float,
        Meta(
            description="Share of decisions in which a wider difference counts as equal, so that workers that seem "
            "slow are tried again.",
            ge=0.0,
            le=1.0,
            extra=HOT,
        ),
    ] = _ENGINE.explore_share
    explore_margin: Annotated[
        float,
        Meta(description="That difference, as a share of the run time.", ge=0.0, le=10.0, extra=HOT),
    ] = _ENGINE.explore_margin
    external_load_reference: Annotated[
        float,
        Meta(
            description="Share of a worker's processors that others use normally; more than that makes its slots count "
            "less.",
            ge=0.0,
            le=0.99,
            extra=HOT,
        ),
    ] = _ENGINE.external_load_reference
