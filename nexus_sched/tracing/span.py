"""A span as data: what is known of it is put together here, and turned into OpenTelemetry's own where it is sent."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from nexus_sched.model.trace import SpanContext

PRODUCER, CONSUMER, INTERNAL = "producer", "consumer", "internal"
Attributes = dict[str, str | int | float | bool]


class SpanEvent(NamedTuple):
    """Something that happened within a span."""

    name: str
    at_ns: int
    attributes: Attributes


class Span(Struct, frozen=True, kw_only=True):
    """One span; instants are nanoseconds since the epoch."""

    name: str
    kind: str
    context: SpanContext
    parent: SpanContext | None = None
    links: tuple[SpanContext, ...] = ()
    start_ns: int
    end_ns: int
    attributes: Attributes = {}
    events: tuple[SpanEvent, ...] = ()
    failed: bool = False
