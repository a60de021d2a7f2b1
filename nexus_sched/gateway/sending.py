"""The span `send` of a submission over HTTP, and the context that its tasks carry.

Laws
* Sampling is the caller's. A context that is not sampled is handed on as it came, for one look at its last character.
* A gateway without a collector hands on every context as it came: the trace goes on, without a span of its own.
* What is no context is as none, never an error. Source: W3C Trace Context, 4.3.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from nexus_sched.model.trace import SpanContext, context_of, sampled, traceparent_of
from nexus_sched.tracing.sink import SpanSink
from nexus_sched.tracing.span import PRODUCER, Span

HEADER = "traceparent"
_SPAN_BITS = 64


class SendSpans:
    """Spans of submissions to one pool; without a `sink` there are none."""

    def __init__(self, pool: str, sink: SpanSink | None) -> None:
        self._pool = pool
        self._sink = sink

    @contextmanager
    def sending(self, said: str | None, what: str, count: int = 1) -> Iterator[str | None]:
        """A span for the time of the `with`, below the caller's; gives the context that the tasks are to carry.

        `said` is the caller's context, `what` the type of the task, or what else is sent; `count` tasks are.
        """
        caller = None if said is None else context_of(said)
        if caller is None:
            yield None
            return
        if self._sink is None or said is None or not sampled(said):
            yield said
            return
        context = SpanContext(caller.trace_id, secrets.randbits(_SPAN_BITS) or 1)
        start_ns, failed = time.time_ns(), True
        try:
            yield traceparent_of(context, is_sampled=True)
            failed = False
        finally:
            self._sink.offer(
                Span(
                    name=f"send {what}",
                    kind=PRODUCER,
                    context=context,
                    parent=caller,
                    start_ns=start_ns,
                    end_ns=time.time_ns(),
                    attributes={
                        "messaging.system": "nexus_sched",
                        "messaging.destination.name": self._pool,
                        "messaging.operation.type": "send",
                        "messaging.batch.message_count": count,
                    },
                    failed=failed,
                )
            )


def headers_of(carried: str | None) -> dict[str, str]:
    """What the answer says of the trace: the context that the tasks carry, if it is sampled."""
    return {HEADER: carried} if carried is not None and sampled(carried) else {}
