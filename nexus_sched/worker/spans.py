"""The span `process` of each sampled run, made when it has ended; one that is not sampled costs a look at a string."""

from __future__ import annotations

import time

from nexus_sched.model.outcome import Outcome
from nexus_sched.model.trace import SpanContext, context_of, sampled, span_id_of
from nexus_sched.tracing.sink import SpanSink
from nexus_sched.tracing.span import CONSUMER, Span
from nexus_sched.worker.calls import Ending
from nexus_sched.worker.executors import Run

NS_PER_MS = 1e6


class ProcessSpans:
    """Spans of one worker."""

    def __init__(self, worker_id: str, sink: SpanSink) -> None:
        self._worker_id = worker_id
        self._sink = sink

    def ended(self, run: Run, ending: Ending) -> None:
        """A run is over."""
        traceparent = run.spec.traceparent
        context = context_of(traceparent) if traceparent is not None and sampled(traceparent) else None
        if context is None:
            return
        end_ns, line = time.time_ns(), run.line
        self._sink.offer(
            Span(
                name=f"process {run.spec.type}",
                kind=CONSUMER,
                context=SpanContext(context.trace_id, span_id_of("process", line.task_id, line.inbox_entry)),
                parent=context,
                links=(context,),
                start_ns=end_ns - int(ending.run_ms * NS_PER_MS),
                end_ns=end_ns,
                attributes={
                    "messaging.system": "nexus_sched",
                    "messaging.operation.type": "process",
                    "messaging.message.id": line.task_id,
                    "nexus.decision": line.inbox_entry,
                    "nexus.worker": self._worker_id,
                    "nexus.attempt": line.attempt,
                    "nexus.outcome": ending.outcome.value,
                },
                failed=ending.outcome is not Outcome.SUCCEEDED,
            )
        )
