"""From turns to spans: what is sampled is followed to its end, and nobody rewrites the context it came with."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from nexus_sched.model.events import TaskFinished, TaskSubmitted
from nexus_sched.model.journal import FORMAT, Turn
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.task import TaskSpec
from nexus_sched.model.trace import SpanContext, context_of, sampled, span_id_of, traceparent_of
from nexus_sched.runtime.inputs import events_of
from nexus_sched.testing.builders import Bench, joined, submitted
from nexus_sched.tracing.journal import LINKS_MAX, REMEMBERED_MAX, JournalSpans
from nexus_sched.units import NS_PER_MS

CONTEXT = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
SAMPLED = traceparent_of(CONTEXT, is_sampled=True)
UNSAMPLED = traceparent_of(CONTEXT, is_sampled=False)


def traced(task_id: str, traceparent: str = SAMPLED) -> TaskSubmitted:
    return structs.replace(submitted(task_id), traceparent=traceparent)


class Journal:
    """A bench whose turns are kept as the journal keeps them."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.spans = JournalSpans("default", 0)

    def turn(self, *events, after_ms: int = 10):
        effects = self.bench.turn(*events, after_ms=after_ms)
        engine = self.bench.engine
        return self.spans.take(Turn(FORMAT, engine.seq, 1, engine.now_ms * NS_PER_MS, list(events), list(effects), {}))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (SAMPLED, True),
        (UNSAMPLED, False),
        (SAMPLED[:-1] + "3", True),
        ("", False),
        ("1", False),
        (SAMPLED + "1", False),
    ],
)
def test_sampled_is_the_last_bit_of_the_flags(text: str, wanted: bool):
    assert sampled(text) is wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        SAMPLED.upper(),
        "ff" + SAMPLED[2:],
        SAMPLED[:36] + "0" * 16 + "-01",
        "x" * 55,
    ],
)
def test_what_is_no_context_is_none(text: str):
    assert context_of(text) is None


def test_context_survives_the_way_there_and_back():
    assert context_of(SAMPLED) == context_of(UNSAMPLED) == CONTEXT


@pytest.mark.parametrize(("traceparent", "kept"), [(SAMPLED, SAMPLED), (UNSAMPLED, ""), (None, ""), ("garbage", "")])
def test_only_sampled_contexts_reach_the_journal(traceparent: str | None, kept: str):
    spec = msgspec.msgpack.encode(TaskSpec(type="resize", traceparent=traceparent))
    (event,) = events_of("q:5", [[b"1-0", [b"i", b"t1", b"m", spec, b"b", b"0"]]])
    assert isinstance(event, TaskSubmitted)
    assert event.traceparent == kept


def test_task_is_received_scheduled_and_forgotten():
    journal = Journal()
    journal.turn(joined(slots=2))
    received, scheduled = journal.turn(traced("t1"), submitted("t2"))
    assert (received.name, received.links, received.parent) == ("receive default", (CONTEXT,), None)
    assert received.attributes["messaging.batch.message_count"] == 2
    assert (scheduled.name, scheduled.links, scheduled.parent) == ("schedule kind", (CONTEXT,), CONTEXT)
    assert scheduled.context.trace_id == CONTEXT.trace_id
    assert scheduled.attributes["nexus.decision"] == "2-0"
    assert scheduled.attributes["messaging.message.id"] == "t1"
    assert scheduled.start_ns <= scheduled.end_ns == received.end_ns
    assert journal.turn(TaskFinished("t1", 1, "w1", Outcome.SUCCEEDED, 5.0, 0.0, 0)) == []
    assert journal.turn(traced("t1", "")) == []
    assert journal.spans._tasks == {}


def test_number_of_a_decision_counts_all_of_its_turn():
    journal = Journal()
    journal.turn(joined(slots=3))
    spans = journal.turn(submitted("t1"), submitted("t2"), traced("t3"))
    assert [span.attributes.get("nexus.decision") for span in spans] == [None, "2-2"]


def test_same_turn_gives_the_same_spans_and_others_have_other_ids():
    spans = []
    for _ in range(2):
        journal = Journal()
        journal.turn(joined(slots=2))
        spans.append(journal.turn(traced("t1"), traced("t2")))
    assert spans[0] == spans[1]
    assert len({span.context.span_id for span in spans[0]}) == 3
    assert span_id_of("a", "bc") != span_id_of("ab", "c")


def test_pool_without_sampled_tasks_makes_no_spans():
    journal = Journal()
    journal.turn(joined())
    assert journal.turn(submitted("t1"), traced("t2", "not a context" * 4)) == []


def test_links_and_memory_are_bounded():
    spans = JournalSpans("default", 0)
    events = [traced(f"t{number}") for number in range(REMEMBERED_MAX + 10)]
    (received,) = spans.take(Turn(FORMAT, 1, 1, 10, list(events), [], {}))
    assert len(received.links) == LINKS_MAX
    assert len(spans._tasks) == REMEMBERED_MAX
