"""The border: every entry becomes at least one event, and what cannot be understood becomes a refusal with a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from nexus_sched.model.command import CancelTask, SetMode, encode_command
from nexus_sched.model.effects import Noticed
from nexus_sched.model.events import (
    CancelRequested,
    ModeChanged,
    TaskFinished,
    TaskReclaimed,
    TaskRefused,
    TaskSubmitted,
    TaskVanished,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
)
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import PAYLOAD_BYTES_MAX, Retry
from nexus_sched.runtime.inputs import (
    _KNOWN_DESCRIPTIONS_MAX,
    _KNOWN_NAMES_MAX,
    BLOB_BYTES_MAX,
    DETAIL_LENGTH_MAX,
    _known_descriptions,
    _known_workers,
    events_of,
)
from nexus_sched.testing.builders import Bench, joined, submitted, task

encode = msgspec.msgpack.encode
SPEC = encode({"type": "kind"})
FACT = encode({"outcome": "succeeded", "run_ms": 12.5, "queue_ms": 1.0, "result_bytes": 3})


def entry(fields: Mapping[bytes, bytes], entry_id: bytes = b"1700-2") -> list[Any]:
    return [entry_id, [each for pair in fields.items() for each in pair]]


def event_of(stream: str, **fields: bytes):
    (event,) = events_of(stream, [entry({name.encode(): value for name, value in fields.items()})])
    return event


def refusal(stream: str, **fields: bytes) -> TaskRefused:
    event = event_of(stream, **fields)
    assert isinstance(event, TaskRefused)
    assert (event.stream, event.entry) == (stream, "1700-2")
    assert len(event.detail) <= DETAIL_LENGTH_MAX
    return event


# -- what is understood


def test_submission_carries_everything_a_decision_needs():
    spec = encode({"type": "a/b", "hint_ms": 7, "max_attempts": 2, "retry": "any", "unknown": [1, {"x": 2}]})
    event = event_of("q:9", i=b"t1", m=spec, b=b"123")
    assert isinstance(event, TaskSubmitted)
    task = event.task
    assert (task.id, task.type, task.priority, task.payload_bytes, task.arrived_at_ms) == ("t1", "a/b", 9, 123, 1700)
    assert (task.hint_ms, task.max_attempts, task.retry, event.entry) == (7.0, 2, Retry.ANY, "1700-2")


def test_reclaimed_pointer_is_understood():
    event = event_of("q:r", i=b"t1", a=b"3", w=b"w1", y=b"worker-lost", n=b"1")
    assert event == TaskReclaimed("t1", 3, "w1", Reason.WORKER_LOST, True, "1700-2")


def test_end_is_understood():
    assert event_of("res", i=b"t1", a=b"3", w=b"w1", f=FACT) == TaskFinished(
        "t1", 3, "w1", Outcome.SUCCEEDED, 12.5, 1.0, 3
    )


def test_end_without_a_fact_means_that_only_the_pointer_was_left():
    assert event_of("res", i=b"t1", a=b"3", w=b"w1", f=b"") == TaskVanished("t1", 3, "w1")


def test_end_with_garbage_for_measurements_still_ends_the_task_and_trains_nothing():
    ended, refused = events_of("res", [entry({b"i": b"t1", b"a": b"3", b"w": b"w1", b"f": b"\xc1"})])
    assert ended == TaskFinished("t1", 3, "w1", Outcome.FAILED, -1.0, 0.0, 0)
    assert isinstance(refused, TaskRefused)
    assert refused.reason is Reason.MALFORMED


@pytest.mark.parametrize("run_ms", [math.nan, -1.0, math.inf, "12"])
def test_worker_whose_reports_are_no_times_is_flagged_once_and_teaches_nothing(run_ms: object):
    bench = Bench(EngineSettings(predictor="learned"))
    names = [f"t{number}" for number in range(8)]
    bench.turn(joined("liar", slots=8), *(submitted(name) for name in names))
    noticed = []
    for name in names:
        fact = encode({"outcome": "succeeded", "run_ms": run_ms})
        raw = entry({b"i": name.encode(), b"a": b"1", b"w": b"liar", b"f": fact})
        noticed += [each for each in bench.turn(*events_of("res", [raw])) if isinstance(each, Noticed)]
    assert [each.detail.split()[:3] for each in noticed if each.kind == "distrust"] == [["distrust:", "worker", "liar"]]
    assert bench.engine.counters["distrusted"] == 1
    assert bench.engine.tasks == {}
    assert bench.engine.forecasts.predict(task("more"), bench.now_ms) is None


def test_reports_are_understood():
    offer = encode({"slots": 4, "worker_class": "gpu", "labels": {"zone": "a"}})
    assert event_of("rep", k=b"join", w=b"w1", n=b"2", f=offer) == WorkerJoined("w1", 2, 4, "gpu", {"zone": "a"})
    report = encode({"draining": True, "running": 1, "queued": 2, "cpu": 0.5})
    assert event_of("rep", k=b"report", w=b"w1", n=b"2", f=report) == WorkerReported("w1", 2, True, 1, 2, 0.5, None)
    assert event_of("rep", k=b"left", w=b"w1", n=b"2", f=b"") == WorkerLeft("w1", 2, False)
    assert event_of("rep", k=b"lost", w=b"w1", n=b"2", f=b"") == WorkerLeft("w1", 2, True)


def test_report_of_what_has_changed_and_an_offer_of_patience_are_understood():
    report = encode({"network_bytes_s": 1e6, "labels": {"zone": "b", "arch": "x"}, "resources": {"gpu": 1.0}})
    event = event_of("rep", k=b"report", w=b"w1", n=b"2", f=report)
    changed = ({"arch": "x", "zone": "b"}, {"gpu": 1.0})
    assert event == WorkerReported("w1", 2, False, 0, 0, None, None, 1e6, False, *changed)
    assert event.labels is not None
    assert list(event.labels) == ["arch", "zone"]
    offer = encode({"silence_ms": 30_000})
    assert event_of("rep", k=b"join", w=b"w1", n=b"2", f=offer) == WorkerJoined("w1", 2, 1, "", silence_ms=30_000)


def test_pack_holds_a_report_of_each_worker():
    pack = encode([["w1", 1, {"cpu": 0.5}], ["w2", 7, {"draining": True}]])
    events = events_of("rep", [entry({b"k": b"pack", b"f": pack})])
    assert events == [WorkerReported("w1", 1, False, 0, 0, 0.5), WorkerReported("w2", 7, True, 0, 0)]


def test_commands_are_understood():
    assert event_of("cmd", f=encode_command(CancelTask("t1"))) == CancelRequested("t1")
    assert event_of("cmd", f=encode_command(SetMode("shadow"))) == ModeChanged("shadow")


# -- what is refused


@pytest.mark.parametrize(
    "spec",
    [
        b"",
        b"\xc1",
        SPEC[:-1],
        SPEC + b"\x00",
        b"\x91" * 5_000 + b"\xc0",
        b"\x82\xa4type\xa4kind\xa1x" + b"\x91" * 5_000 + b"\xc0",
        b"\x82\xa4type\xa4kind\xa4type\xa5other",
        b"\xde\x00\x02\xa4type\xa4kind\xa4type\xa5other",
        b"\xdf\x00\x00\x00\x02\xa4type\xa4kind\xa4type\xa5other",
        b"\x82\xa4type\xa4kind\x01\x02",
        b"\x81\xa4type\xa2\xff\xfe",
        b"\x81\xa2\xff\xfe\xa4kind",
        encode([]),
        encode({}),
        encode({"type": 5}),
        encode({"type": ""}),
        encode({"type": "no blanks"}),
        encode({"type": "k\n"}),
        encode({"type": "k" * 201}),
        encode({"type": "\u4e94"}),
        encode({"type": "kind", "hint_ms": math.nan}),
        encode({"type": "kind", "hint_ms": math.inf}),
        encode({"type": "kind", "hint_ms": -1.0}),
        encode({"type": "kind", "hint_ms": 1e300}),
        encode({"type": "kind", "timeout_ms": math.nan}),
        encode({"type": "kind", "max_attempts": 0}),
        encode({"type": "kind", "max_attempts": 2**63}),
        encode({"type": "kind", "retry": "always"}),
        encode({"type": "kind", "traceparent": "x" * 65}),
    ],
)
def test_hostile_description_is_refused_under_the_id_of_its_task(spec: bytes):
    refused = refusal("q:5", i=b"t1", m=spec, b=b"1")
    assert (refused.task_id, refused.reason) == ("t1", Reason.MALFORMED)


@pytest.mark.parametrize("task_id", [b"", b"a b", b"\xff", b"x" * 129, b"t1\n", "\u4e94".encode(), b"x" * 20_000])
def test_hostile_task_id_is_refused_without_an_id(task_id: bytes):
    assert refusal("q:5", i=task_id, m=SPEC, b=b"1").task_id == ""


@pytest.mark.parametrize(
    "size",
    [
        b"",
        b"-1",
        b"+1",
        b" 1",
        b"1.0",
        b"1e3",
        b"nan",
        b"0x1",
        b"9" * 19,
        "\u0663".encode(),
        b"%d" % (PAYLOAD_BYTES_MAX + 1),
    ],
)
def test_size_that_is_no_bounded_number_is_refused(size: bytes):
    assert refusal("q:5", i=b"t1", m=SPEC, b=size).reason is Reason.MALFORMED


@pytest.mark.parametrize("missing", ["i", "m", "b"])
def test_submission_with_a_missing_field_is_refused(missing: str):
    fields = {"i": b"t1", "m": SPEC, "b": b"1"}
    del fields[missing]
    assert f"field {missing} is missing" in refusal("q:5", **fields).detail


def test_oversized_field_is_refused_before_it_is_decoded():
    refused = refusal("q:5", i=b"t1", m=b"\x91" * (BLOB_BYTES_MAX + 1), b=b"1")
    assert (refused.task_id, refused.reason) == ("t1", Reason.TOO_LARGE)
    assert str(BLOB_BYTES_MAX) in refused.detail


@pytest.mark.parametrize(
    "pairs",
    [
        [b"i", b"t1", b"m"],
        [b"i", b"t1", b"i", b"t2", b"m", SPEC, b"b", b"1"],
        [each for number in range(33) for each in (b"%d" % number, b"")],
        [],
        None,
        b"text",
    ],
)
def test_entry_of_another_shape_is_refused(pairs: Any):
    (event,) = events_of("q:5", [[b"1-0", pairs]])
    assert isinstance(event, TaskRefused)
    assert (event.task_id, event.reason) == ("", Reason.MALFORMED)


@pytest.mark.parametrize(
    "changed",
    [
        {"a": b"-1"},
        {"a": b"1000001"},
        {"w": b"no blanks"},
        {"w": b""},
        {"y": b"because"},
        {"y": b"\xff"},
        {"i": b"\xff"},
    ],
)
def test_hostile_reclaimed_pointer_is_refused(changed: dict[str, bytes]):
    fields = {"i": b"t1", "a": b"1", "w": b"w1", "y": b"worker-lost", "n": b"1"} | changed
    assert refusal("q:r", **fields).task_id == ("" if "i" in changed else "t1")


@pytest.mark.parametrize(
    "fact",
    [
        {"run_ms": math.nan},
        {"run_ms": -1.0},
        {"run_ms": math.inf},
        {"run_ms": 1.0, "queue_ms": math.nan},
        {"run_ms": 1.0, "result_bytes": -1},
        {"run_ms": 1.0, "outcome": "splendid"},
        {"run_ms": 1.0, "error": "x" * 2_001},
        {"run_ms": "1"},
        {},
    ],
)
def test_hostile_measurements_end_the_task_as_failed(fact: dict[str, object]):
    ended, refused = events_of("res", [entry({b"i": b"t1", b"a": b"3", b"w": b"w1", b"f": encode(fact)})])
    assert (ended.outcome, ended.run_ms) == (Outcome.FAILED, -1.0)
    assert (refused.stream, refused.task_id) == ("res", "")


@pytest.mark.parametrize(
    "changed",
    [
        {"k": b"hello"},
        {"k": b""},
        {"w": b"\xff"},
        {"n": b"-2"},
        {"n": b"99999999999"},
        {"f": encode({"slots": 0})},
        {"f": encode({"slots": 4_097})},
        {"f": encode({"slots": -1})},
        {"f": encode({"slots": 1.5})},
        {"f": encode({"worker_class": "no blanks"})},
        {"f": b"\x82\xa5slots\x01\xa5slots\x02"},
        {"f": b""},
    ],
)
def test_hostile_registration_is_refused(changed: dict[str, bytes]):
    fields = {"k": b"join", "w": b"w1", "n": b"1", "f": encode({"slots": 1})} | changed
    assert refusal("rep", **fields).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "report", [{"running": -1}, {"queued": -1}, {"cpu": math.nan}, {"cpu": 1.1}, {"memory": -0.1}, {"draining": "yes"}]
)
def test_hostile_report_is_refused(report: dict[str, object]):
    assert refusal("rep", k=b"report", w=b"w1", n=b"1", f=encode(report)).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "command",
    [
        b"",
        encode({"kind": "explode"}),
        encode({"kind": "cancel"}),
        encode({"kind": "cancel", "task_id": "a b"}),
        encode({"kind": "mode", "mode": "random"}),
        b"\x83\xa4kind\xa6cancel\xa7task_id\xa1a\xa7task_id\xa1b",
    ],
)
def test_hostile_command_is_refused(command: bytes):
    assert refusal("cmd", f=command).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "pack",
    [
        [["w1", 1, {"cpu": 2.0}]],
        [["w1", -1, {}]],
        [["no such name!", 1, {}]],
        [["w1", 1, {"labels": {"no such label!": "a"}}]],
        [["w1", 1, {"resources": {"gpu": -1.0}}]],
        [["w1", 1, {}]] * 257,
        {"w1": 1},
    ],
)
def test_hostile_pack_is_refused_as_a_whole(pack: object):
    (event,) = events_of("rep", [entry({b"k": b"pack", b"f": encode(pack)})])
    assert isinstance(event, TaskRefused)


def test_neighbours_of_a_hostile_entry_are_read():
    entries = [
        entry({b"i": b"t%d" % number, b"m": b"\xc1" if number % 2 else SPEC, b"b": b"1"}, b"%d-0" % number)
        for number in range(10)
    ]
    events = events_of("q:5", entries)
    assert [type(event) for event in events] == [TaskSubmitted, TaskRefused] * 5
    assert [event.entry for event in events] == [f"{number}-0" for number in range(10)]


def test_cache_of_type_names_is_bounded():
    for number in range(12_000):
        event_of("q:5", i=b"t1", m=encode({"type": f"k{number}"}), b=b"1")
    assert isinstance(event_of("q:5", i=b"t1", m=SPEC, b=b"1"), TaskSubmitted)


def test_description_that_many_tasks_share_is_read_for_each_of_them_alike():
    spec = encode({"type": "shared", "deadline_ms": 1_000.0, "hint_ms": 5.0})
    first, second = (
        events_of("q:5", [entry({b"i": task_id, b"m": spec, b"b": b"1"}, entry_id)])[0]
        for task_id, entry_id in ((b"t1", b"1700-0"), (b"t2", b"1800-0"))
    )
    assert isinstance(first, TaskSubmitted)
    assert isinstance(second, TaskSubmitted)
    assert (first.task.id, first.task.asks.deadline_at_ms) == ("t1", 2_700)
    assert (second.task.id, second.task.asks.deadline_at_ms) == ("t2", 2_800)
    assert first.task.type is second.task.type


def test_names_and_descriptions_that_are_remembered_have_a_bound():
    for number in range(_KNOWN_NAMES_MAX + 10):
        event_of("q:5", i=b"t", m=encode({"type": f"kind-{number}"}), b=b"1")
        event_of("res", i=b"t", w=b"%d" % number, a=b"1", f=b"")
    long = encode({"type": "kind", "tenant": "x" * 128, "key": "y" * 128})
    assert isinstance(event_of("q:5", i=b"t", m=long, b=b"1"), TaskSubmitted)
    assert len(_known_workers) <= _KNOWN_NAMES_MAX
    assert len(_known_descriptions) <= _KNOWN_DESCRIPTIONS_MAX
    assert long not in _known_descriptions
