"""What tasks ask for, what workers offer and what people decide, at the border: instants, one form, clear refusals."""

from __future__ import annotations

import math

import msgspec
import pytest

from nexus_sched.model.command import (
    Ask,
    BoostTask,
    Command,
    CordonWorker,
    EvictWorker,
    PauseTasks,
    PinEstimate,
    ReassignTask,
    ResumeTasks,
    ResumeWorker,
    RetryTask,
    TripWorker,
    encode_command,
)
from nexus_sched.model.demands import INSTANT_MS_MAX, KNOWN_NEEDS_MAX
from nexus_sched.model.events import (
    AnyEvent,
    EstimatePinned,
    QuestionAsked,
    RetryRequested,
    TaskBoosted,
    TaskReassigned,
    TaskRefused,
    TasksPaused,
    TasksResumed,
    TaskSubmitted,
    WorkerCordoned,
    WorkerEvicted,
    WorkerJoined,
    WorkerResumed,
    WorkerTripped,
)
from nexus_sched.model.outcome import Reason
from nexus_sched.model.question import AskEta, AskWhy, AskWorker, AskWorkers, Question
from nexus_sched.model.terms import NO_NEEDS, Condition, Needs, Operator, Terms
from nexus_sched.runtime.inputs import events_of

encode = msgspec.msgpack.encode


def event_of(stream: str, entry_id: bytes = b"1700-2", **fields: bytes) -> AnyEvent:
    pairs = [each for name, value in fields.items() for each in (name.encode(), value)]
    (event,) = events_of(stream, [[entry_id, pairs]])
    return event


def terms(entry_id: bytes = b"1700-2", **spec: object) -> Terms | None:
    event = event_of("q:5", entry_id, i=b"t1", m=encode({"type": "kind"} | spec), b=b"1")
    assert isinstance(event, TaskSubmitted), event
    return event.task.asks


def offered(**offer: object) -> AnyEvent:
    return event_of("rep", k=b"join", w=b"w1", n=b"2", f=encode({"slots": 4} | offer))


# -- what is understood


@pytest.mark.parametrize(
    "spec", [{}, {"hint_ms": 5}, {"tenant": ""}, {"delay_ms": 0}, {"eta": False}, {"requires": []}, {"resources": {}}]
)
def test_task_that_asks_for_nothing_has_no_terms(spec: dict[str, object]):
    assert terms(**spec) is None


def test_spans_become_instants_after_the_arrival():
    asked = terms(deadline_ms=250.9, deadline_strict=True, delay_ms=0.5)
    assert asked == Terms(deadline_at_ms=1950, deadline_strict=True, not_before_ms=1701)


def test_everything_else_is_taken_over():
    asked = terms(tenant="t", key="k@x", affinity="s3://b/k", affinity_ms=20, idempotent=True, backoff_ms=5.0, eta=True)
    assert asked == Terms(NO_NEEDS, "t", "k@x", "s3://b/k", 20.0, 0, False, 0, True, 5.0, True)


def test_equal_needs_are_equal_whatever_order_they_were_written_in():
    first = terms(
        requires=[["zone", "in", ["b", "a", "b"]], ["gpu", "exists"]],
        tolerates=["spot", "slow", "spot"],
        resources={"memory": 8, "gpu": 1},
    )
    second = terms(
        requires=[["gpu", "exists", []], ["zone", "in", ["a", "b"]], ["gpu", "exists"]],
        tolerates=["slow", "spot"],
        resources={"gpu": 1.0, "memory": 8.0},
    )
    assert first is not None
    assert second is not None
    assert first.needs == second.needs
    assert hash(first.needs) == hash(second.needs)
    assert first.needs == Needs(
        (Condition("gpu", Operator.EXISTS), Condition("zone", Operator.IN, ("a", "b"))),
        ("slow", "spot"),
        (("gpu", 1.0), ("memory", 8.0)),
    )


def test_needs_are_remembered_without_being_confused_and_within_a_bound():
    for number in range(2 * KNOWN_NEEDS_MAX + 3):
        asked = terms(resources={"gpu": number + 1})
        assert asked is not None
        assert asked.needs.resources == (("gpu", number + 1.0),)
    again = terms(resources={"gpu": 1})
    assert again is not None
    assert again.needs.resources == (("gpu", 1.0),)


@pytest.mark.parametrize("entry_id", [b"%d-0" % (2**64 - 1), b"%d-5" % (2**53), b"0-1"])
def test_instants_stay_within_their_bound_whatever_the_entry_says(entry_id: bytes):
    asked = terms(entry_id, deadline_ms=1e9, delay_ms=1e9)
    assert asked is not None
    assert 0 < asked.deadline_at_ms <= INSTANT_MS_MAX
    assert 0 < asked.not_before_ms <= INSTANT_MS_MAX
    pin = event_of("cmd", entry_id, f=encode_command(PinEstimate("kind", 10**9, "why")))
    assert isinstance(pin, EstimatePinned)
    assert msgspec.msgpack.encode(pin)


def test_offer_of_a_worker_is_taken_over_in_one_order():
    event = offered(
        worker_class="c",
        labels={"zone": "a", "disk": "100.5"},
        taints=["spot", "gpu-only", "spot"],
        resources={"memory": 2**33, "cpu": 3.5},
    )
    assert event == WorkerJoined(
        "w1", 2, 4, "c", {"disk": "100.5", "zone": "a"}, ("gpu-only", "spot"), {"cpu": 3.5, "memory": 2.0**33}
    )
    assert isinstance(event, WorkerJoined)
    assert list(event.labels) == ["disk", "zone"]
    assert list(event.resources) == ["cpu", "memory"]


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (CordonWorker("w1", False, "disk", "ann"), WorkerCordoned("w1", False, "disk", "ann")),
        (CordonWorker("w1", True, "disk"), WorkerCordoned("w1", True, "disk", "")),
        (ResumeWorker("w1", "new disk", "ann"), WorkerResumed("w1", "new disk", "ann")),
        (TripWorker("w1", "it lies", "ann"), WorkerTripped("w1", "it lies", "ann")),
        (EvictWorker("w1", "smoke", "ann"), WorkerEvicted("w1", "smoke", "ann")),
        (BoostTask("t1", 9, "they wait", "ann"), TaskBoosted("t1", 9, "they wait", "ann")),
        (ReassignTask("t1", "slow", "w2", "ann"), TaskReassigned("t1", "w2", "slow", "ann")),
        (ReassignTask("t1", "slow"), TaskReassigned("t1", "", "slow", "")),
        (RetryTask("t1", "fixed", "ann"), RetryRequested("t1", "fixed", "ann")),
        (PauseTasks("bug", "kind", "ann"), TasksPaused("kind", "bug", "ann")),
        (PauseTasks("bug"), TasksPaused("", "bug", "")),
        (ResumeTasks("fixed", "kind", "ann"), TasksResumed("kind", "fixed", "ann")),
        (Ask("r1", AskEta("t1")), QuestionAsked("r1", AskEta("t1"))),
        (Ask("r1", AskWhy("t1")), QuestionAsked("r1", AskWhy("t1"))),
        (Ask("r1", AskWhy("t1", "w1")), QuestionAsked("r1", AskWhy("t1", "w1"))),
        (Ask("r1", AskWorker("w1")), QuestionAsked("r1", AskWorker("w1"))),
        (Ask("r1", AskWorkers()), QuestionAsked("r1", AskWorkers("", 256))),
        (Ask("r1", AskWorkers("w1", 7)), QuestionAsked("r1", AskWorkers("w1", 7))),
    ],
)
def test_decision_or_question_is_understood(command: Command, event: AnyEvent):
    assert event_of("cmd", f=encode_command(command)) == event


# -- what is refused


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"tenant": "no blanks"}, "name"),
        ({"tenant": "x" * 129}, "tenant"),
        ({"tenant": "a\n"}, "name"),
        ({"key": "\u4e94"}, "name"),
        ({"key": 5}, "key"),
        ({"affinity": "a,b"}, "name"),
        ({"affinity_ms": 5.0}, "affinity"),
        ({"affinity": "a", "affinity_ms": math.nan}, "affinity_ms"),
        ({"deadline_ms": -1}, "deadline_ms"),
        ({"deadline_ms": math.inf}, "deadline_ms"),
        ({"deadline_strict": True}, "deadline"),
        ({"delay_ms": 1e300}, "delay_ms"),
        ({"backoff_ms": math.nan}, "backoff_ms"),
        ({"idempotent": "yes"}, "idempotent"),
        ({"tolerates": ["no blanks"]}, "taint"),
        ({"tolerates": [""]}, "taint"),
        ({"tolerates": ["t"] * 17}, "tolerates"),
        ({"tolerates": "spot"}, "tolerates"),
        ({"resources": {"": 1}}, "resource"),
        ({"resources": {"gpu": 0}}, "resources"),
        ({"resources": {"gpu": -1}}, "resources"),
        ({"resources": {"gpu": math.nan}}, "resources"),
        ({"resources": {"gpu": 1e300}}, "resources"),
        ({"resources": {f"r{number}": 1 for number in range(9)}}, "resources"),
        ({"resources": {"a b": 1}}, "resource"),
        ({"requires": [["gpu", "exists"]] * 17}, "requires"),
        ({"requires": [["gpu", "exists", ["1"]]]}, "gpu"),
        ({"requires": [["gpu", "missing", ["1"]]]}, "gpu"),
        ({"requires": [["disk", "above"]]}, "disk"),
        ({"requires": [["disk", "above", ["1", "2"]]]}, "disk"),
        ({"requires": [["disk", "below", ["much"]]]}, "disk"),
        ({"requires": [["disk", "below", ["nan"]]]}, "disk"),
        ({"requires": [["disk", "below", ["1e999"]]]}, "disk"),
        ({"requires": [["disk", "below", ["1_0"]]]}, "disk"),
        ({"requires": [["zone", "in", []]]}, "zone"),
        ({"requires": [["zone", "not-in"]]}, "zone"),
        ({"requires": [["zone", "in", ["no blanks"]]]}, "label"),
        ({"requires": [["zone", "in", ["x"] * 33]]}, "zone"),
        ({"requires": [["zone", "like", ["a"]]]}, "requires"),
        ({"requires": [["no blanks", "exists"]]}, "label"),
        ({"requires": [["", "exists"]]}, "label"),
        ({"requires": [["gpu", "exists", [], math.nan]]}, "gpu"),
        ({"requires": [["gpu", "exists", [], -1.0]]}, "gpu"),
        ({"requires": [["gpu", "exists", [], 0.0]]}, "gpu"),
        ({"requires": [["gpu", "exists", [], 1e300]]}, "gpu"),
        ({"requires": [["gpu"]]}, "requires"),
        ({"requires": {"gpu": True}}, "requires"),
    ],
)
def test_demand_that_makes_no_sense_is_refused_with_its_name(spec: dict[str, object], word: str):
    event = event_of("q:5", i=b"t1", m=encode({"type": "kind"} | spec), b=b"1")
    assert isinstance(event, TaskRefused)
    assert (event.task_id, event.reason) == ("t1", Reason.MALFORMED)
    assert word in event.detail


@pytest.mark.parametrize(
    ("offer", "word"),
    [
        ({"labels": {"a b": "1"}}, "label"),
        ({"labels": {"": "1"}}, "label"),
        ({"labels": {"zone": "a b"}}, "label"),
        ({"labels": {"zone": 1}}, "labels"),
        ({"labels": {f"l{number}": "" for number in range(65)}}, "labels"),
        ({"taints": ["a b"]}, "taint"),
        ({"taints": [""]}, "taint"),
        ({"taints": ["t"] * 17}, "taints"),
        ({"resources": {"gpu": 0}}, "resources"),
        ({"resources": {"gpu": math.nan}}, "resources"),
        ({"resources": {"a b": 1}}, "resource"),
        ({"resources": {f"r{number}": 1 for number in range(17)}}, "resources"),
    ],
)
def test_offer_out_of_bounds_is_refused_with_its_name(offer: dict[str, object], word: str):
    event = offered(**offer)
    assert isinstance(event, TaskRefused)
    assert word in event.detail


QUESTIONS: list[Question] = [
    *(AskEta(name) for name in ("", "a b", "t1\n")),
    *(AskWorker(name) for name in ("", "a b", "w1\n")),
    *(AskWorkers("a b"), AskWorkers("w1", 0), AskWorkers("w1", 257)),
    *(AskWhy(""), AskWhy("a b"), AskWhy("t1", "a b")),
]


@pytest.mark.parametrize(
    "command",
    [
        CordonWorker("a b", True, "why"),
        CordonWorker("w1", True, ""),
        CordonWorker("w1", True, "x" * 501),
        CordonWorker("w1", True, "why", "x" * 129),
        ResumeWorker("", "why"),
        ResumeWorker("w1", ""),
        TripWorker("w1\n", "why"),
        TripWorker("w1", ""),
        EvictWorker("a b", "why"),
        BoostTask("t1", 10, "why"),
        BoostTask("t1", -1, "why"),
        BoostTask("a b", 1, "why"),
        ReassignTask("t1", "why", "a b"),
        ReassignTask("", "why"),
        RetryTask("t1", ""),
        PauseTasks("", "kind"),
        PauseTasks("why", "a b"),
        ResumeTasks("why", "x" * 201),
        Ask("", AskEta("t1")),
        Ask("a b", AskEta("t1")),
        Ask("x" * 65, AskEta("t1")),
        *(Ask("r1", question) for question in QUESTIONS),
    ],
)
def test_decision_or_question_out_of_bounds_is_refused(command: Command):
    event = event_of("cmd", f=encode_command(command))
    assert isinstance(event, TaskRefused)
    assert event.reason is Reason.MALFORMED


def test_question_of_an_unknown_kind_is_refused():
    blob = encode({"kind": "ask", "reply": "r1", "question": {"ask": "everything", "task_id": "t1"}})
    assert isinstance(event_of("cmd", f=blob), TaskRefused)
