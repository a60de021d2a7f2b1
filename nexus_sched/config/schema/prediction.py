"""Sections of prediction: who predicts, and when prediction is switched off."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DAY_MS, DURATION, HOT
from nexus_sched.model.settings import EngineSettings

_ENGINE = EngineSettings()


class PredictorSection(Struct, frozen=True, kw_only=True):
    """What predicts how long a task runs."""

    name: Annotated[
        str,
        Meta(
            description="Who predicts: an entry point in the group `nexus_sched.predictors`. `learned` and `ema` come "
            "with the package.",
            min_length=1,
            max_length=64,
        ),
    ] = _ENGINE.predictor
    shadow: Annotated[
        str,
        Meta(
            description="A predictor that learns beside the active one and is scored, but never asked to place. Empty "
            "for none.",
            max_length=64,
        ),
    ] = _ENGINE.shadow_predictor
    model: Annotated[
        str | None,
        Meta(
            description="Model file of `boosting`, as `nexus-sched predictor train` writes it. Models that are loaded "
            "by their digest are looked for beside it.",
        ),
    ] = None
    ema_alpha: Annotated[
        float,
        Meta(
            description="Share of the newest completion in the moving average of its type.", gt=0.0, le=1.0, extra=HOT
        ),
    ] = _ENGINE.ema_alpha
    min_samples: Annotated[
        int,
        Meta(description="Completions of a type before its estimate is used.", ge=1, le=10_000, extra=HOT),
    ] = _ENGINE.min_samples


class BreakerSection(Struct, frozen=True, kw_only=True):
    """When prediction is switched off, and when it is tried again."""

    fallback_threshold: Annotated[
        int,
        Meta(
            description="Consecutive failures of prediction or scoring that open the breaker; any success resets "
            "the count. Alias: `fallback_threshold` at top level.",
            ge=1,
            le=1_000,
            extra=HOT,
        ),
    ] = _ENGINE.fallback_threshold
    cooldown_ms: Annotated[
        int,
        Meta(description="How long the breaker stays open before one trial.", ge=1, le=DAY_MS, extra=DURATION | HOT),
    ] = field(name="cooldown", default=_ENGINE.breaker_cooldown_ms)
