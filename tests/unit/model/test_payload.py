"""Payloads and results: what goes in comes out, and what cannot be read is refused with a reason."""

from __future__ import annotations

import math

import msgspec
import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.model.payload import (
    decode_arguments,
    decode_error,
    decode_result,
    encode_error,
    encode_result,
    split_envelope,
)
from nexus_sched.model.task import TaskSpec

encode = msgspec.msgpack.encode


@pytest.mark.parametrize("value", [1, -1.5, "text", b"bytes", [1, [2]], {"a": {"b": None}}, True, "\u4e94", 2**63])
def test_result_comes_back(value: object):
    assert decode_result(encode_result(value)) == value


def test_no_result_is_no_bytes():
    assert (encode_result(None), decode_result(b"")) == (b"", None)


@pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), lambda: 1, 2**70])
def test_result_that_cannot_travel_is_refused(value: object):
    with pytest.raises(InvalidInput, match="result cannot be encoded"):
        encode_result(value)


def test_result_that_is_too_large_is_refused():
    with pytest.raises(InvalidInput, match="at most"):
        encode_result(b"x" * (16 * 2**20 + 1))


@pytest.mark.parametrize(
    ("codec", "payload", "positional", "named"),
    [
        ("msgpack", encode([1, "b"]), [1, "b"], {}),
        ("msgpack", encode({"x": 1}), [], {"x": 1}),
        ("msgpack", encode(5), [5], {}),
        ("json", b"[1, 2]", [1, 2], {}),
        ("json", b'{"x": null}', [], {"x": None}),
        ("raw", b"\x00\xff", [b"\x00\xff"], {}),
        ("msgpack", b"", [], {}),
    ],
)
def test_payload_becomes_arguments(codec: str, payload: bytes, positional: list[object], named: dict[str, object]):
    arguments = decode_arguments(codec, payload)
    assert (list(arguments[0]), arguments[1]) == (positional, named)


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        ("msgpack", b"\xc1"),
        ("msgpack", b"\x91" * 5_000 + b"\xc0"),
        ("msgpack", b"\xa2\xff\xfe"),
        ("msgpack", encode({1: 2})),
        ("msgpack", encode([1]) + b"\x00"),
        ("json", b"{"),
        ("json", b"[" * 5_000),
        ("json", b'"\xff"'),
        ("json", b"NaN"),
        ("pickle", b"x"),
    ],
)
def test_hostile_payload_is_refused(codec: str, payload: bytes):
    with pytest.raises(InvalidInput):
        decode_arguments(codec, payload)


def test_envelope_is_split_into_description_and_payload():
    spec = encode({"type": "kind", "hint_ms": 5.0})
    found, payload = split_envelope(len(spec).to_bytes(4, "big") + spec + b"payload")
    assert (found, payload) == (TaskSpec(type="kind", hint_ms=5.0), b"payload")


@pytest.mark.parametrize(
    "envelope",
    [
        b"\x00\x00\x00\x05abc",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xc1",
        (lambda spec: len(spec).to_bytes(4, "big") + spec)(encode({"type": "kind", "hint_ms": math.nan})),
    ],
)
def test_damaged_envelope_is_refused(envelope: bytes):
    with pytest.raises(InvalidInput):
        split_envelope(envelope)


def test_error_of_a_failed_run_comes_back_and_garbage_is_no_error():
    assert decode_error(encode_error("boom")) == "boom"
    assert len(decode_error(encode_error("x" * 9_999))) == 2_000
    assert [decode_error(blob) for blob in (None, b"", b"\xc1", encode(5), encode({"error": 5}))] == [""] * 5
