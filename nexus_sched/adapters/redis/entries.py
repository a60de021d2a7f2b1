"""From one entry of a producer's stream to one submission, or to the reason why not. A pure function.

Law: nothing an entry holds gets out of `submission_of` as an exception. Sizes are checked before anything is
decoded; of a document only the fields that are ours are looked at, the payload passes as it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from hashlib import blake2s
from typing import Any, NamedTuple

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.choices import resources_of
from nexus_sched.model.conditions import conditions_of
from nexus_sched.model.demands import check_description
from nexus_sched.model.ids import TASK_ID_LENGTH_MAX, check_task_id, check_task_type
from nexus_sched.model.intake import DEMAND_FIELDS, IntakeSettings
from nexus_sched.model.outcome import Reason
from nexus_sched.model.task import PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN, TaskSpec
from nexus_sched.runtime.ports import SubmitLine

FIELDS_MAX = 256  # names and values of one entry
DETAIL_LENGTH_MAX = 200

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)
_INTEGER = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_SWITCHES = ("deadline_strict", "idempotent")
_SPANS = ("deadline_ms", "delay_ms", "backoff_ms")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._:-]")

Scalar = str | int | float | bool | None
_json_map = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_json_scalar = msgspec.json.Decoder(Scalar).decode
_msgpack_map = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_msgpack_scalar = msgspec.msgpack.Decoder(Scalar).decode
_encode_spec = msgspec.msgpack.Encoder().encode


class Refusal(NamedTuple):
    """Why an entry is no task: a stable code and a sentence that repeats nothing of a payload."""

    reason: Reason
    detail: str


class _Refused(Exception):
    def __init__(self, detail: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail[:DETAIL_LENGTH_MAX])


def submission_of(entry: str, fields: list[bytes], settings: IntakeSettings) -> SubmitLine | Refusal:
    """The submission in an entry (`fields`: name, value, name, value), or why there is none."""
    try:
        if len(fields) > FIELDS_MAX:
            raise _Refused(f"more than {FIELDS_MAX} names and values")
        size = sum(map(len, fields))
        if size > settings.entry_bytes_max:
            raise _Refused(f"{size} bytes, at most {settings.entry_bytes_max} are allowed", Reason.TOO_LARGE)
        named = _named(fields)
        values, payload = _of_document(named, settings) if settings.document else _of_fields(named, settings)
        return _line(entry, values, payload, settings)
    except _Refused as refused:
        return refused.refusal
    except (InvalidInput, *_UNREADABLE) as error:
        return Refusal(Reason.MALFORMED, f"{type(error).__name__}: {error}"[:DETAIL_LENGTH_MAX])


def task_id_of(stream: str, entry: str) -> str:
    """The id of a task whose producer gave none: the same for the same entry, different for different ones."""
    plain = f"{stream}:{entry}"
    if len(plain) <= TASK_ID_LENGTH_MAX and not _NOT_IN_ID.search(plain):
        return plain
    digest = blake2s(stream.encode(), digest_size=8).hexdigest()
    room = TASK_ID_LENGTH_MAX - len(digest) - len(entry) - 2
    return f"{_NOT_IN_ID.sub('_', stream)[:room]}:{digest}:{entry}"


def _named(fields: list[bytes]) -> dict[str, bytes]:
    named = {name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)}
    if 2 * len(named) != len(fields):
        raise _Refused("a field name occurs twice")
    return named


def _of_fields(named: Mapping[str, bytes], settings: IntakeSettings) -> tuple[dict[str, Scalar], bytes]:
    values: dict[str, Scalar] = {
        field: named[name].decode() for field, name in settings.names().items() if field != "payload" and name in named
    }
    return values, named.get(settings.name_of("payload"), b"")


def _of_document(named: Mapping[str, bytes], settings: IntakeSettings) -> tuple[dict[str, Scalar], bytes]:
    document = named.get(settings.document)
    if document is None:
        raise _Refused(f"there is no field {settings.document!r}")
    binary = settings.codec == "msgpack"
    content: dict[str, Any] = _msgpack_map(document) if binary else _json_map(document)
    scalar: Callable[[Any], Scalar] = _msgpack_scalar if binary else _json_scalar
    if _packed_length(document) != len(content) if binary else _repeats_key(document, content):
        raise _Refused("a key of the document occurs twice")
    values: dict[str, Scalar] = {}
    payload = content.pop(settings.name_of("payload"), None)
    for field, name in settings.names().items():
        raw = content.pop(name, None)
        if raw is not None:
            values[field] = value = scalar(raw)
            if isinstance(value, bool) and field not in _SWITCHES:
                raise _Refused(f"{field} cannot be true or false")
    if payload is not None:
        return values, bytes(payload)
    encode = msgspec.msgpack.encode if binary else msgspec.json.encode
    return values, encode(content) if content else b""


def _packed_length(document: bytes) -> int:
    """How many pairs a MessagePack map says it has; it has been read as a map before."""
    head = document[0]
    if head == 0xDE:
        return int.from_bytes(document[1:3], "big")
    if head == 0xDF:
        return int.from_bytes(document[1:5], "big")
    return head & 0x0F


def _repeats_key(document: bytes, content: Mapping[str, Any]) -> bool:
    """Whether a JSON map names a key twice. Read a second time only if a name is seen twice anywhere in it."""
    if all(document.count(b'"%b"' % key.encode()) == 1 for key in content):
        return False
    pairs_counts: list[int] = []  # of every map in the document, the outermost comes last

    def count(pairs: list[tuple[str, object]]) -> None:
        pairs_counts.append(len(pairs))

    json.loads(document, object_pairs_hook=count)
    return pairs_counts[-1] != len(content)


def _line(entry: str, values: Mapping[str, Scalar], payload: bytes, settings: IntakeSettings) -> SubmitLine:
    task_id = values.get("id")
    task_type = values.get("type") or settings.default_type
    if isinstance(task_id, int):
        task_id = str(task_id)
    if not isinstance(task_type, str) or not task_type:
        raise _Refused("it names no type")
    priority = _integer(values, "priority", PRIORITY_DEFAULT)
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise _Refused(f"priority {priority} is not in {PRIORITY_MIN}..{PRIORITY_MAX}")
    if not (task_id is None or isinstance(task_id, str)):
        raise _Refused("its id is no text")
    spec = {
        "type": check_task_type(task_type),
        "hint_ms": _span_ms(values, "hint_ms"),
        "timeout_ms": _span_ms(values, "timeout_ms"),
        "max_attempts": _integer(values, "max_attempts", 3),
        "retry": values.get("retry") or "lost",
        "codec": settings.codec,
    }
    demands = {field: values[field] for field in DEMAND_FIELDS if values.get(field) not in (None, "")}
    checked = msgspec.convert(spec | {field: _demand(demands, field) for field in demands}, TaskSpec)
    encoded = _encode_spec(checked)
    if demands:
        check_description(checked, encoded)
    known = task_id_of(settings.stream, entry) if task_id is None else check_task_id(task_id)
    return SubmitLine(known, priority, encoded, payload)


def _demand(values: Mapping[str, Scalar], field: str) -> object:
    """What a task may ask for, as its producer writes it: several conditions with `;`, several others with `,`."""
    value = values[field]
    if field in _SPANS:
        return _span_ms(values, field)
    text = str(value).strip()
    if field in _SWITCHES:
        if text.lower() not in ("true", "false", "1", "0"):
            raise _Refused(f"{field} is neither true nor false")
        return text.lower() in ("true", "1")
    if field == "requires":
        return conditions_of(text.split(";"))
    if field == "tolerates":
        return [taint.strip() for taint in text.split(",")]
    return resources_of(text) if field == "resources" else text


def _integer(values: Mapping[str, Scalar], field: str, default: int) -> int:
    value = values.get(field)
    if value is None:
        return default
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise _Refused(f"{field} is no whole number")


def _span_ms(values: Mapping[str, Scalar], field: str) -> float | None:
    value = values.get(field)
    if value is None:
        return None
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise _Refused(f"{field} is no number")
        return float(value)
    if not math.isfinite(value):
        raise _Refused(f"{field} is not finite")
    return float(value)
