"""What a payload and a result mean: the one codec that submitters and workers share.

A payload is one document, MessagePack (`"msgpack"`) or JSON (`"json"`): an array gives the positional
arguments, a map the keyword arguments, anything else is the single argument, no bytes at all mean no
arguments. With `"raw"` the bytes themselves are the single argument. A result is one MessagePack
document; no bytes at all mean `None`, so that a task without a result costs the store no key. The
result of a run that failed is the map `{"error": text}`. The scheduler reads none of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.outcome import ERROR_LENGTH_MAX, RESULT_BYTES_MAX
from nexus_sched.model.task import PAYLOAD_BYTES_MAX, TaskSpec

MSGPACK = "msgpack"
JSON = "json"
RAW = "raw"
CODECS = (MSGPACK, JSON, RAW)

ENVELOPE_HEAD_BYTES = 4

_encode = msgspec.msgpack.Encoder().encode
_decode_msgpack = msgspec.msgpack.Decoder().decode
_decode_json = msgspec.json.Decoder().decode
_decode_spec = msgspec.msgpack.Decoder(TaskSpec).decode
# What a hostile document makes the decoders raise.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)


class Arguments(NamedTuple):
    """What a function is called with."""

    positional: Sequence[Any]
    keyword: Mapping[str, Any]


NO_ARGUMENTS = Arguments((), {})


def encode_arguments(args: Sequence[object], kwargs: Mapping[str, object] | None) -> bytes:
    """The MessagePack payload of a call; raises `InvalidInput` for what cannot travel.

    A payload carries positional or keyword arguments, not both: a worker in any language can read it.
    """
    if args and kwargs:
        raise InvalidInput("a payload carries positional or keyword arguments, not both: name them all in kwargs")
    if not args and not kwargs:
        return b""
    try:
        payload = _encode(dict(kwargs) if kwargs else list(args))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"arguments cannot be encoded: {error}") from error
    check_payload_size(payload)
    return payload


def check_payload_size(payload: bytes) -> None:
    """Raise `InvalidInput` if `payload` is larger than a task may carry."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(f"payload has {len(payload)} bytes, at most {PAYLOAD_BYTES_MAX} are allowed")


def decode_arguments(codec: str, payload: bytes) -> Arguments:
    """The arguments in `payload`; raises `InvalidInput` with a reason if it cannot be read."""
    if codec == RAW:
        return Arguments((payload,), {})
    if not payload:
        return NO_ARGUMENTS
    if codec not in CODECS:
        raise InvalidInput(f"unknown payload codec {codec!r}, known are {', '.join(CODECS)}")
    try:
        document = _decode_msgpack(payload) if codec == MSGPACK else _decode_json(payload)
    except _UNREADABLE as error:
        raise InvalidInput(f"payload is not readable {codec}: {error}") from error
    if type(document) is list:
        return Arguments(document, {})
    if type(document) is dict:
        for key in document:
            if type(key) is not str:
                raise InvalidInput(f"payload map has a key that is not text: {str(key)[:100]}")
        return Arguments((), document)
    return Arguments((document,), {})


def split_envelope(envelope: bytes) -> tuple[TaskSpec, bytes]:
    """What a start returned, as description and payload; raises `InvalidInput` if it is damaged."""
    end = ENVELOPE_HEAD_BYTES + int.from_bytes(envelope[:ENVELOPE_HEAD_BYTES], "big")
    if end > len(envelope):
        raise InvalidInput("envelope is cut off")
    try:
        spec = _decode_spec(envelope[ENVELOPE_HEAD_BYTES:end])
    except _UNREADABLE as error:
        raise InvalidInput(f"task description cannot be read: {error}") from error
    return spec, envelope[end:]


def encode_result(value: object) -> bytes:
    """The bytes of a result; raises `InvalidInput` for what cannot travel or is too large."""
    if value is None:
        return b""
    try:
        result = _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"result cannot be encoded: {error}") from error
    if len(result) > RESULT_BYTES_MAX:
        raise InvalidInput(f"result has {len(result)} bytes, at most {RESULT_BYTES_MAX} are allowed")
    return result


def decode_result(result: bytes) -> object:
    """The value in a kept result; raises `InvalidInput` if it cannot be read."""
    if not result:
        return None
    try:
        return _decode_msgpack(result)
    except _UNREADABLE as error:
        raise InvalidInput(f"result cannot be read: {error}") from error


def encode_error(text: str) -> bytes:
    """The result of a run that failed."""
    return _encode({"error": text[:ERROR_LENGTH_MAX]})


def decode_error(result: bytes | None) -> str:
    """The text a failed run left, empty if it left none that can be read."""
    if not result:
        return ""
    try:
        document = _decode_msgpack(result)
    except _UNREADABLE:
        return ""
    text = document.get("error") if isinstance(document, dict) else None
    return text if isinstance(text, str) else ""
