"""Sections of what is measured: metrics and traces."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DAY_MS, DURATION, MINUTE_MS


class MetricsSection(Struct, frozen=True, kw_only=True):
    """What the gateway serves at `/metrics`."""

    drain_target_ms: Annotated[
        int,
        Meta(
            description="Within which time the queue should be worked off: `desired_workers` is how many that takes.",
            ge=1_000,
            le=DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="drain_target", default=MINUTE_MS)
    canary_every_ms: Annotated[
        int,
        Meta(
            description="How often a gateway sends a task without work through every stage; `canary_timestamp_seconds` "
            "is when one last came through. 0 sends none.",
            ge=0,
            le=DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="canary_every", default=0)


class TracingSection(Struct, frozen=True, kw_only=True):
    """Spans by OpenTelemetry; needs the extra `otel`."""

    endpoint: Annotated[
        str,
        Meta(
            description="Where spans are sent by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; empty: "
            "nowhere. Set it on one gateway of a pool, and on the workers.",
            max_length=2_000,
        ),
    ] = ""
    headers_file: Annotated[
        str | None,
        Meta(description="File with headers for the collector, `name: value` a line, where it wants a key."),
    ] = None
