"""From turns of the journal to the spans that the scheduler would have made, had it the time.

`receive`: what a turn took in, with a link to each sampled task. `schedule`: from the submission of a task to its
dispatch, with the events `predict` and `score` and the id of the decision. Ids follow from pool, shard and decision, so
two gateways that follow one journal make the same spans.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from msgspec import Struct

from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.effects import DeadLetter, Dispatch
from nexus_sched.model.events import TaskFinished, TaskSubmitted
from nexus_sched.model.journal import Turn
from nexus_sched.model.trace import SpanContext, context_of, span_id_of, trace_id_of
from nexus_sched.tracing.span import CONSUMER, INTERNAL, Attributes, Span, SpanEvent
from nexus_sched.units import NS_PER_MS

REMEMBERED_MAX = 100_000  # sampled tasks that have not ended
LINKS_MAX = 128  # of a span that received a batch


class Traced(Struct):
    """A sampled task that lives."""

    context: SpanContext
    task_type: str
    arrived_ns: int


class JournalSpans:
    """Follows one shard. What it has not seen submitted it makes no spans of."""

    def __init__(self, pool: str, shard: int) -> None:
        self._about: Attributes = {"messaging.system": "nexus_sched", "messaging.destination.name": pool}
        self._place = (pool, shard)
        self._tasks: OrderedDict[str, Traced] = OrderedDict()

    def take(self, turn: Turn) -> list[Span]:
        """The spans of a turn."""
        spans = list(self._received(turn))
        if self._tasks:
            spans += self._scheduled(turn)
            self._forget(turn)
        return spans

    def _received(self, turn: Turn) -> Iterator[Span]:
        contexts: list[SpanContext] = []
        taken, since_ns = 0, turn.at_ns
        for event in turn.events:
            if type(event) is not TaskSubmitted:
                continue
            taken += 1
            context = context_of(event.traceparent) if event.traceparent else None
            if context is not None:
                arrived_ns = min(event.task.arrived_at_ms * NS_PER_MS, turn.at_ns)
                since_ns = min(since_ns, arrived_ns)
                contexts.append(context)
                self._remember(event.task.id, Traced(context, event.task.type, arrived_ns))
        if contexts:
            about = (*self._place, turn.seq)
            yield Span(
                name=f"receive {self._place[0]}",
                kind=CONSUMER,
                context=SpanContext(trace_id_of("receive", *about), span_id_of("receive", *about)),
                links=tuple(contexts[:LINKS_MAX]),
                start_ns=since_ns,
                end_ns=turn.at_ns,
                attributes={
                    **self._about,
                    "messaging.operation.type": "receive",
                    "messaging.batch.message_count": taken,
                    "nexus.turn": turn.seq,
                },
            )

    def _scheduled(self, turn: Turn) -> Iterator[Span]:
        dispatched = 0
        for effect in turn.effects:
            if type(effect) is Dispatch:
                traced = self._tasks.get(effect.decision.task_id)
                if traced is not None:
                    yield self._schedule(traced, effect.decision, f"{turn.seq}-{dispatched}", turn.at_ns)
                dispatched += 1

    def _schedule(self, traced: Traced, decision: SchedulingDecision, decision_id: str, at_ns: int) -> Span:
        return Span(
            name=f"schedule {traced.task_type}",
            kind=INTERNAL,
            context=SpanContext(traced.context.trace_id, span_id_of("schedule", *self._place, decision_id)),
            parent=traced.context,
            links=(traced.context,),
            start_ns=min(traced.arrived_ns, at_ns),
            end_ns=at_ns,
            attributes={
                **self._about,
                "messaging.message.id": decision.task_id,
                "nexus.decision": decision_id,
                "nexus.worker": decision.worker,
                "nexus.attempt": decision.attempt,
                "nexus.policy": decision.policy,
            },
            events=tuple(_events(decision, at_ns)),
        )

    def _remember(self, task_id: str, traced: Traced) -> None:
        self._tasks[task_id] = traced
        if len(self._tasks) > REMEMBERED_MAX:
            self._tasks.popitem(last=False)

    def _forget(self, turn: Turn) -> None:
        for event in turn.events:
            if type(event) is TaskFinished:
                self._tasks.pop(event.task_id, None)
        for effect in turn.effects:
            if type(effect) is DeadLetter:
                self._tasks.pop(effect.task_id, None)


def _events(decision: SchedulingDecision, at_ns: int) -> Iterator[SpanEvent]:
    if decision.p50_ms is not None:
        predicted: Attributes = {
            "p50_ms": decision.p50_ms,
            "basis": decision.basis,
            "model": decision.model,
            "confidence": decision.confidence,
        }
        yield SpanEvent("predict", at_ns, predicted)
    if decision.score_ms is not None:
        yield SpanEvent("score", at_ns, {"score_ms": decision.score_ms, "wait_ms": decision.wait_ms})
