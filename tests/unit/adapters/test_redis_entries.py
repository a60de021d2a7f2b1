"""Entries of foreign streams: what becomes a submission, and that no hostile entry gets out as an exception."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from nexus_sched.adapters.redis.entries import DETAIL_LENGTH_MAX, Refusal, submission_of, task_id_of
from nexus_sched.model.conditions import conditions_of
from nexus_sched.model.ids import check_task_id, check_task_type
from nexus_sched.model.intake import IntakeSettings, intake_problems
from nexus_sched.model.outcome import Reason
from nexus_sched.model.task import Retry, TaskSpec
from nexus_sched.runtime.ports import SubmitLine

ENTRY = "1700000000000-7"
PLAIN = IntakeSettings(stream="jobs", entry_bytes_max=4_096)
JSON_DOCUMENT = IntakeSettings(stream="jobs", document="data", entry_bytes_max=4_096)
PACKED_DOCUMENT = IntakeSettings(stream="jobs", codec="msgpack", document="data", entry_bytes_max=4_096)

DEEP = b'{"type":"a","payload":' + b"[" * 2_000 + b"]" * 2_000 + b"}"
NOT_A_NUMBER = msgspec.msgpack.encode({"type": "a", "hint_ms": float("nan")})


def fields_of(**named: bytes | str) -> list[bytes]:
    return [part.encode() if isinstance(part, str) else part for pair in named.items() for part in pair]


def accepted(fields: list[bytes], settings: IntakeSettings = PLAIN) -> tuple[SubmitLine, TaskSpec]:
    line = submission_of(ENTRY, fields, settings)
    assert isinstance(line, SubmitLine), line
    return line, msgspec.msgpack.decode(line.spec, type=TaskSpec)


def refused(fields: list[bytes], settings: IntakeSettings = PLAIN) -> Refusal:
    refusal = submission_of(ENTRY, fields, settings)
    assert isinstance(refusal, Refusal), refusal
    return refusal


def test_submission_plain_fields_are_taken_by_our_names() -> None:
    line, spec = accepted(
        fields_of(
            id="order-1", type="mail/send", payload=b'{"to":1}\xff', priority="9", hint_ms="12.5", timeout_ms="1000",
            max_attempts="7", retry="any",
        )
    )  # fmt: skip
    assert (line.task_id, line.priority, line.payload) == ("order-1", 9, b'{"to":1}\xff')
    assert spec == TaskSpec(
        type="mail/send", hint_ms=12.5, timeout_ms=1000.0, max_attempts=7, retry=Retry.ANY, codec="json"
    )


def test_submission_mapped_fields_are_taken_by_the_producers_names() -> None:
    settings = IntakeSettings(
        stream="jobs", codec="msgpack", fields={"type": "job", "payload": "body", "priority": "urgency"}
    )
    line, spec = accepted(fields_of(job="resize", body=b"\x81", urgency="1", type="ignored"), settings)
    assert (line.priority, line.payload, spec.type, spec.codec) == (1, b"\x81", "resize", "msgpack")


DEMANDED = {
    "requires": "gpu; zone in a, b;disk > 100 worth 5ms",
    "tolerates": "spot, slow",
    "resources": "gpu=1,memory=8GiB",
    "tenant": "acme",
    "key": "account-7",
    "affinity": "model",
    "deadline_ms": "250",
    "deadline_strict": "true",
    "delay_ms": "0.5",
    "idempotent": "1",
    "backoff_ms": "7",
}


def demanding(document: str = "", **fields: str) -> IntakeSettings:
    return IntakeSettings(stream="jobs", document=document, fields=fields)


def test_submission_demands_are_read_where_they_are_named() -> None:
    settings = demanding(**{name: f"x-{name}" for name in DEMANDED})
    assert intake_problems(settings) == []
    _, spec = accepted(fields_of(type="a", **{f"x-{name}": text for name, text in DEMANDED.items()}), settings)
    assert spec == TaskSpec(
        type="a",
        codec="json",
        requires=conditions_of(["gpu", "zone in a, b", "disk > 100 worth 5ms"]),
        tolerates=("spot", "slow"),
        resources={"gpu": 1.0, "memory": 2.0**33},
        tenant="acme",
        key="account-7",
        affinity="model",
        deadline_ms=250.0,
        deadline_strict=True,
        delay_ms=0.5,
        idempotent=True,
        backoff_ms=7.0,
    )


def test_submission_demands_of_a_document_may_have_types() -> None:
    settings = demanding("data", idempotent="twice", key="account", delay_ms="pause")
    document = json.dumps({"type": "a", "twice": True, "account": 7, "pause": 20, "tenant": "in the payload"})
    line, spec = accepted(fields_of(data=document), settings)
    assert (spec.idempotent, spec.key, spec.delay_ms, spec.tenant) == (True, "7", 20.0, "")
    assert json.loads(line.payload) == {"tenant": "in the payload"}


def test_submission_demands_are_the_producers_own_where_nobody_named_them() -> None:
    line, spec = accepted(fields_of(data=json.dumps({"type": "a", "key": 5, "requires": ["x"]})), JSON_DOCUMENT)
    assert spec == TaskSpec(type="a", codec="json")
    assert json.loads(line.payload) == {"key": 5, "requires": ["x"]}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("requires", "a b"),
        ("requires", "gpu;"),
        ("tolerates", "a,,b"),
        ("resources", "gpu"),
        ("resources", "gpu=0"),
        ("tenant", "no blanks"),
        ("key", "x" * 129),
        ("deadline_ms", "soon"),
        ("deadline_ms", "-1"),
        ("deadline_strict", "true"),
        ("idempotent", "yes"),
        ("backoff_ms", "1e9"),
    ],
)
def test_submission_demand_that_makes_no_sense_is_refused(field: str, text: str) -> None:
    assert refused(fields_of(type="a", **{field: text}), demanding(**{field: field})).reason is Reason.MALFORMED


def test_submission_switch_where_none_belongs_is_refused() -> None:
    assert refused(fields_of(data='{"type": "a", "id": true}'), JSON_DOCUMENT).detail == "id cannot be true or false"


def test_submission_without_id_is_named_after_its_entry() -> None:
    line, _ = accepted(fields_of(type="a"))
    assert line.task_id == "jobs:1700000000000-7"
    assert line.priority == 5
    assert line.payload == b""


def test_submission_without_type_takes_the_default() -> None:
    settings = IntakeSettings(stream="jobs", default_type="catch-all")
    assert accepted(fields_of(payload="1"), settings)[1].type == "catch-all"
    assert refused(fields_of(payload="1")).detail == "it names no type"


@pytest.mark.parametrize("settings", [JSON_DOCUMENT, PACKED_DOCUMENT], ids=["json", "msgpack"])
def test_submission_document_fields_are_taken_from_the_map(settings: IntakeSettings) -> None:
    encode = json.dumps if settings.codec == "json" else msgspec.msgpack.encode
    document = encode({"id": 42, "type": "a", "priority": 0, "hint_ms": 3, "payload": {"x": [1, 2.5, None]}})
    line, spec = accepted(fields_of(data=document), settings)
    assert (line.task_id, line.priority, spec.hint_ms, spec.codec) == ("42", 0, 3.0, settings.codec)
    decode = msgspec.json.decode if settings.codec == "json" else msgspec.msgpack.decode
    assert decode(line.payload) == {"x": [1, 2.5, None]}


@pytest.mark.parametrize("settings", [JSON_DOCUMENT, PACKED_DOCUMENT], ids=["json", "msgpack"])
def test_submission_document_without_payload_passes_on_what_is_left(settings: IntakeSettings) -> None:
    codec = msgspec.json if settings.codec == "json" else msgspec.msgpack
    line, _ = accepted(fields_of(data=codec.encode({"type": "a", "url": "u", "sizes": [1, 2]})), settings)
    assert codec.decode(line.payload) == {"url": "u", "sizes": [1, 2]}
    line, _ = accepted(fields_of(data=codec.encode({"type": "a"})), settings)
    assert line.payload == b""


def test_submission_document_keys_may_recur_inside_the_payload() -> None:
    document = b'{"id":"x","type":"a","payload":{"id":1,"type":{"id":2}}}'
    assert accepted(fields_of(data=document), JSON_DOCUMENT)[0].payload == b'{"id":1,"type":{"id":2}}'


@pytest.mark.parametrize(
    ("fields", "settings", "reason"),
    [
        (fields_of(type="a", payload=b"x" * 4_096), PLAIN, Reason.TOO_LARGE),
        (fields_of(data=b"[" * 4_097), JSON_DOCUMENT, Reason.TOO_LARGE),
        (fields_of(data=b'{"type":"a","payload":' + b"[" * 4_000), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=DEEP), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":' + b"[" * 1_500 + b"]" * 1_500 + b"}"), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b"\x82\xa4type\xa1a\xa7payload" + b"\x91" * 4_000), PACKED_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a","type":"b"}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b"\x82\xa4type\xa1a\xa4type\xa1b"), PACKED_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b"\xde\x00\x02\xa4type\xa1a\xa4type\xa1b"), PACKED_DOCUMENT, Reason.MALFORMED),
        ([b"type", b"a", b"type", b"b"], PLAIN, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a"'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a"} x'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"\xff"}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'["type","a"]'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b""), PACKED_DOCUMENT, Reason.MALFORMED),
        (fields_of(other=b"{}"), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a","hint_ms":NaN}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a","hint_ms":-1}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a","hint_ms":1e999}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a","priority":true}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a","priority":5.0}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=b'{"type":"a","id":[1]}'), JSON_DOCUMENT, Reason.MALFORMED),
        (fields_of(data=NOT_A_NUMBER), PACKED_DOCUMENT, Reason.MALFORMED),
        (fields_of(type=b"\xff"), PLAIN, Reason.MALFORMED),
        ([b"\xff", b"", b"type", b"a"], PLAIN, Reason.MALFORMED),
        (fields_of(type="a", id=""), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", id="no spaces"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", id="x" * 129), PLAIN, Reason.MALFORMED),
        (fields_of(type="no spaces"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", priority="10"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", priority="-1"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", priority="\u0665"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", hint_ms="nan"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", hint_ms="-3"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", hint_ms="1e3"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", timeout_ms="999999999999"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", max_attempts="0"), PLAIN, Reason.MALFORMED),
        (fields_of(type="a", retry="often"), PLAIN, Reason.MALFORMED),
        ([b"k%d" % number for number in range(300)], PLAIN, Reason.MALFORMED),
    ],
)  # fmt: skip
def test_submission_hostile_entry_is_refused_with_a_reason(
    fields: list[bytes], settings: IntakeSettings, reason: Reason
) -> None:
    assert refused(fields, settings).reason is reason


def hostile_entries(seed: int, count: int) -> list[tuple[list[bytes], IntakeSettings]]:
    """Good entries with something broken: cut, flipped, spliced, repeated, swapped, grown."""
    pick = random.Random(seed)
    scalars: list[object] = [0, -1, 5, 1e308, float("inf"), True, None, "a", "\ud7ff", "x" * 300, [], {}, 2**70, -0.0]
    entries = []
    for _ in range(count):
        settings = pick.choice((PLAIN, JSON_DOCUMENT, PACKED_DOCUMENT))
        content: dict[str, object] = {"type": "a", "id": "i"}
        for name in pick.sample(("id", "type", "priority", "hint_ms", "retry", "max_attempts", "payload"), 4):
            if pick.random() < 0.4:
                content[name] = pick.choice(scalars)
        if settings is PACKED_DOCUMENT:
            content = {name: 1 if value == 2**70 else value for name, value in content.items()}
            blob = msgspec.msgpack.encode(content)
        else:
            blob = json.dumps(content).encode()
        for _ in range(pick.randint(0, 3)):
            at = pick.randrange(len(blob) + 1)
            end = pick.randrange(at, len(blob) + 1)
            noise = pick.choice((b"", pick.randbytes(3), b"[" * 1_200, b"\x91" * 1_200, b'"id":1,', blob[at:end] * 2))
            blob = (blob[:at] + noise + blob[end:])[:6_000]
        if settings is PLAIN:
            fields = [part for name, value in content.items() for part in (name.encode(), str(value).encode())]
            if pick.random() < 0.3:
                fields[pick.randrange(len(fields))] = blob[:100]
            if pick.random() < 0.2:
                fields += fields[:2]
        else:
            fields = [b"data", blob]
        entries.append((fields, settings))
    return entries


@pytest.mark.parametrize("seed", range(6))
def test_submission_random_hostile_entries_are_accepted_sound_or_refused(seed: int) -> None:
    counts = {True: 0, False: 0}
    for fields, settings in hostile_entries(seed, 2_000):
        answer = submission_of(ENTRY, fields, settings)
        counts[isinstance(answer, SubmitLine)] += 1
        if isinstance(answer, SubmitLine):
            check_task_id(answer.task_id)
            spec = msgspec.msgpack.decode(answer.spec, type=TaskSpec)
            check_task_type(spec.type)
            assert 0 <= answer.priority <= 9
        else:
            assert answer.reason in (Reason.MALFORMED, Reason.TOO_LARGE)
            assert 0 < len(answer.detail) <= DETAIL_LENGTH_MAX
            answer.detail.encode()
    assert counts[True] > 20, counts
    assert counts[False] > 500, counts


def test_task_id_of_a_stream_with_foreign_letters_is_valid_and_distinct() -> None:
    names = ["jobs", "my jobs", "my-jobs", "my_jobs", "\u00e9t\u00e9", "x" * 500, "x" * 501, "{a}:b"]
    ids = [task_id_of(name, "18446744073709551615-18446744073709551615") for name in names]
    assert len(set(ids)) == len(names)
    for task_id in ids:
        check_task_id(task_id)


def test_intake_problems_are_all_named() -> None:
    assert intake_problems(PLAIN) == []
    settings = IntakeSettings(
        stream="{nx:default:0}:cmd", fields={"typ": "t", "id": "same", "type": "same"}, default_type="no good"
    )
    problems = intake_problems(settings)
    assert len(problems) == 4, problems
    assert "'same'" in problems[1]
