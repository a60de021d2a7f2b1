"""The span `send` around a submission, by the OpenTelemetry of whoever submits, if they use it.

Law: nothing is loaded here. Where OpenTelemetry has not been imported by anybody there is no context to pass on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nexus_sched.model.trace import SpanContext, traceparent_of


@contextmanager
def sending(task_type: str) -> Iterator[str | None]:
    """A span for the time of the `with`; gives the context that the task is to carry, `None` if there is none."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield None
        return
    tracer = trace.get_tracer("nexus_sched.client")
    about = {"messaging.system": "nexus_sched", "messaging.operation.type": "send"}
    with tracer.start_as_current_span(f"send {task_type}", kind=trace.SpanKind.PRODUCER, attributes=about) as span:
        context = span.get_span_context()
        if not context.is_valid:
            yield None
            return
        yield traceparent_of(
            SpanContext(context.trace_id, context.span_id), is_sampled=bool(context.trace_flags.sampled)
        )
