"""OpenTelemetry's exporter behind our spans. The only module that loads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace import SpanContext as OtelContext

from nexus_sched.model.trace import SpanContext
from nexus_sched.tracing.span import CONSUMER, INTERNAL, PRODUCER, Span
from nexus_sched.version import VERSION

_KINDS = {PRODUCER: SpanKind.PRODUCER, CONSUMER: SpanKind.CONSUMER, INTERNAL: SpanKind.INTERNAL}
_SCOPE = InstrumentationScope("nexus_sched", VERSION)


class Exporter:
    """Sends batches; blocks while it does."""

    def __init__(self, endpoint: str, service: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self._exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=timeout_s)
        self._resource = Resource.create({"service.name": service, "service.version": VERSION})

    def send(self, spans: Sequence[Span]) -> bool:
        """Whether the collector took them."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # it has no types

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context=_context(span.context),
            parent=None if span.parent is None else _context(span.parent),
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(event.name, event.attributes, event.at_ns) for event in span.events],
            links=[Link(_context(link)) for link in span.links],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=_SCOPE,
        )


def _context(context: SpanContext) -> OtelContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return OtelContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)
