"""From raw stream entries to events: the border where everything from outside is checked.

Law: no entry, however hostile, raises here or is dropped in silence. What cannot be understood becomes a
`TaskRefused` with a reason, so that it is dead-lettered, counted and removed; nothing else is lost.
Sizes are checked before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.command import Command
from nexus_sched.model.demands import ASKING, DESCRIPTION_BYTES_MAX, terms_of
from nexus_sched.model.events import (
    AnyEvent,
    TaskFinished,
    TaskReclaimed,
    TaskRefused,
    TaskSubmitted,
    TaskVanished,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
)
from nexus_sched.model.ids import check_task_id, check_task_type, check_worker_id
from nexus_sched.model.outcome import Completion, Outcome, Reason
from nexus_sched.model.task import PAYLOAD_BYTES_MAX, Task, TaskSpec
from nexus_sched.model.trace import SAMPLED_DIGITS, sampled
from nexus_sched.model.worker import (
    PACK_REPORTS_MAX,
    PackedReport,
    WorkerOffer,
    WorkerReport,
    checked_offer,
    checked_report,
)
from nexus_sched.runtime.commands import decided
from nexus_sched.runtime.ports import RawEntry

BLOB_BYTES_MAX = DESCRIPTION_BYTES_MAX  # of a fact, offer, report or command as well
ATTEMPT_MAX = 1_000_000
DETAIL_LENGTH_MAX = 300
NOT_MEASURED_MS = -1.0  # of a run that has ended with a report nobody can make anything of

_MAP16 = 0xDE  # first byte of a map of up to 65,535 pairs; smaller ones have their size in it, larger ones follow
_decode_keys = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_spec = msgspec.msgpack.Decoder(TaskSpec).decode
_decode_completion = msgspec.msgpack.Decoder(Completion).decode
_decode_offer = msgspec.msgpack.Decoder(WorkerOffer).decode
_decode_report = msgspec.msgpack.Decoder(WorkerReport).decode
_decode_pack = msgspec.msgpack.Decoder(list[PackedReport]).decode
_decode_command = msgspec.msgpack.Decoder(Command).decode

# What decoding or checking foreign bytes may raise; msgspec lets the last two through.
HOSTILE = (InvalidInput, msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_known_types: dict[str, str] = {}  # names that have passed `check_task_type`, each one string; bounded below
_known_workers: dict[bytes, str] = {}  # the same for workers
_KNOWN_NAMES_MAX = 10_000


class _Description(NamedTuple):
    """What was read of a task's description, which tasks of a type often share to the byte."""

    spec: TaskSpec
    task_type: str  # that has passed `check_task_type`
    asks: bool  # whether it may ask for anything beyond its type


_known_descriptions: dict[bytes, _Description] = {}
_KNOWN_DESCRIPTIONS_MAX = 1_024
_KNOWN_BYTES_MAX = 256  # of a description that is remembered


def events_of(stream: str, entries: Sequence[RawEntry]) -> list[AnyEvent]:
    """The events of one stream's new entries, in order. Never raises."""
    events: list[AnyEvent] = []
    decode = _submitted if stream.startswith("q:") else _decoders[stream]
    for entry in entries:
        entry_id = _entry_id(entry)
        fields: dict[bytes, bytes] = {}
        try:
            fields = _fields(entry)
            events.extend(decode(stream, entry_id, fields))
        except HOSTILE as error:
            events.append(_refusal(stream, entry_id, fields, error))
    return events


def _entry_id(entry: RawEntry) -> str:
    return cast(bytes, entry[0]).decode("ascii")


def _fields(entry: RawEntry) -> dict[bytes, bytes]:
    pairs = entry[1]
    if not isinstance(pairs, list) or len(pairs) > 64 or len(pairs) % 2:
        raise InvalidInput("an entry holds at most 32 fields, each with a value")
    each = iter(pairs)
    fields: dict[bytes, bytes] = dict(zip(each, each, strict=True))
    if 2 * len(fields) != len(pairs):
        raise InvalidInput("a field stands twice in the entry")
    return fields


def _refusal(stream: str, entry_id: str, fields: dict[bytes, bytes], error: Exception) -> TaskRefused:
    task_id = ""
    if stream.startswith("q:"):
        try:
            task_id = check_task_id(_text(fields, b"i"))
        except HOSTILE:
            task_id = ""
    too_large = isinstance(error, _TooLarge)
    return TaskRefused(
        stream,
        entry_id,
        task_id,
        Reason.TOO_LARGE if too_large else Reason.MALFORMED,
        f"{type(error).__name__}: {error}"[:DETAIL_LENGTH_MAX],
    )


class _TooLarge(InvalidInput):
    """A field is larger than its bound."""


def _blob(fields: dict[bytes, bytes], name: bytes) -> bytes:
    blob = fields.get(name)
    if blob is None:
        raise InvalidInput(f"field {name.decode()} is missing")
    if len(blob) > BLOB_BYTES_MAX:
        raise _TooLarge(f"field {name.decode()} has {len(blob)} bytes, at most {BLOB_BYTES_MAX} are read")
    return blob


def _document(fields: dict[bytes, bytes], name: bytes) -> bytes:
    """A field with one MessagePack map in it, in which no key stands twice: a decoder would take the last one."""
    return _document_and_keys(fields, name)[0]


def _document_and_keys(fields: dict[bytes, bytes], name: bytes) -> tuple[bytes, Mapping[str, msgspec.Raw]]:
    blob = _blob(fields, name)
    keys = _decode_keys(blob)
    if len(keys) != _pair_count(blob):
        raise InvalidInput(f"a key of field {name.decode()} stands twice")
    return blob, keys


def _pair_count(blob: bytes) -> int:
    """How many pairs a MessagePack map says it has."""
    head = blob[0]
    if head < _MAP16:
        return head & 0x0F
    return int.from_bytes(blob[1 : 3 if head == _MAP16 else 5], "big")


def _text(fields: dict[bytes, bytes], name: bytes) -> str:
    return _blob(fields, name).decode("utf-8")


def _integer(fields: dict[bytes, bytes], name: bytes, highest: int) -> int:
    text = _blob(fields, name)
    # bytes.isdigit is ASCII only: no sign, no blank, no other script's digits
    if not text.isdigit() or len(text) > 18 or (number := int(text)) > highest:
        raise InvalidInput(f"field {name.decode()} is not a number of 0 to {highest}")
    return number


def _worker(fields: dict[bytes, bytes]) -> str:
    """The worker's name; of each worker the same string every time."""
    written = _blob(fields, b"w")
    name = _known_workers.get(written)
    if name is None:
        name = check_worker_id(written.decode("utf-8"))
        if len(_known_workers) >= _KNOWN_NAMES_MAX:
            _known_workers.clear()
        _known_workers[written] = name
    return name


def _description(fields: dict[bytes, bytes]) -> _Description:
    written = _blob(fields, b"m")
    known = _known_descriptions.get(written)
    if known is not None:
        return known
    keys = _document_and_keys(fields, b"m")[1]
    spec = _decode_spec(written)
    task_type = _known_types.get(spec.type)
    if task_type is None:
        task_type = check_task_type(spec.type)
        if len(_known_types) >= _KNOWN_NAMES_MAX:
            _known_types.clear()
        _known_types[task_type] = task_type
    found = _Description(spec, task_type, len(keys) > 1 and not ASKING.isdisjoint(keys))
    if len(written) <= _KNOWN_BYTES_MAX:
        if len(_known_descriptions) >= _KNOWN_DESCRIPTIONS_MAX:
            _known_descriptions.clear()
        _known_descriptions[written] = found
    return found


def _submitted(stream: str, entry_id: str, fields: dict[bytes, bytes]) -> list[AnyEvent]:
    if stream == "q:r":
        return [
            TaskReclaimed(
                check_task_id(_text(fields, b"i")),
                _integer(fields, b"a", ATTEMPT_MAX),
                _worker(fields),
                _reason(_text(fields, b"y")),
                fields.get(b"n") == b"1",
                entry_id,
            )
        ]
    spec, task_type, asks = _description(fields)
    arrived_at_ms = int(entry_id.partition("-")[0])
    task = Task(
        check_task_id(_text(fields, b"i")),
        task_type,
        int(stream[2:]),
        _integer(fields, b"b", PAYLOAD_BYTES_MAX),
        arrived_at_ms,
        spec.hint_ms,
        spec.max_attempts,
        spec.retry,
        terms_of(spec, arrived_at_ms) if asks else None,
    )
    attempts = _integer(fields, b"a", ATTEMPT_MAX) if b"a" in fields else 0  # of a dead letter that was sent again
    traceparent = spec.traceparent
    wanted = ""
    if traceparent is not None and traceparent[-1:] in SAMPLED_DIGITS and sampled(traceparent):
        wanted = traceparent
    return [TaskSubmitted(task, entry_id, attempts, wanted)]


def _reason(text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is no reason") from None


def _finished(stream: str, entry_id: str, fields: dict[bytes, bytes]) -> list[AnyEvent]:
    task_id = check_task_id(_text(fields, b"i"))
    worker = _worker(fields)
    attempt = _integer(fields, b"a", ATTEMPT_MAX)
    blob = fields.get(b"f", b"")
    if not blob:
        return [TaskVanished(task_id, attempt, worker)]
    try:
        fact = _decode_completion(_document(fields, b"f"))
    except HOSTILE as error:
        # The store has accepted the run; only its measurements are garbage. They must not train anything, and whoever
        # reports such is not believed for long.
        ended = TaskFinished(task_id, attempt, worker, Outcome.FAILED, NOT_MEASURED_MS, 0.0, 0)
        return [ended, _refusal(stream, entry_id, {}, error)]
    return [
        TaskFinished(
            *(task_id, attempt, worker, fact.outcome, fact.run_ms, fact.queue_ms, fact.result_bytes),
            *(fact.cpu_ms, fact.memory_bytes),
        )
    ]


def _reported(stream: str, entry_id: str, fields: dict[bytes, bytes]) -> list[AnyEvent]:  # noqa: ARG001 - one shape for all
    kind = fields.get(b"k")
    if kind == b"pack":
        return _unpacked(_decode_pack(_blob(fields, b"f")))
    worker = _worker(fields)
    incarnation = _integer(fields, b"n", 2**31)
    if kind == b"join":
        offer = checked_offer(_decode_offer(_document(fields, b"f")))
        return [
            WorkerJoined(
                *(worker, incarnation, offer.slots, offer.worker_class, offer.labels, offer.taints, offer.resources),
                offer.silence_ms or 0,
            )
        ]
    if kind == b"report":
        return [_report_of(worker, incarnation, _decode_report(_document(fields, b"f")))]
    if kind in (b"left", b"lost"):
        return [WorkerLeft(worker, incarnation, kind == b"lost")]
    raise InvalidInput("field k is none of join, report, pack, left, lost")


def _unpacked(pack: list[PackedReport]) -> list[AnyEvent]:
    if len(pack) > PACK_REPORTS_MAX:
        raise InvalidInput(f"a pack of {len(pack)} reports, at most {PACK_REPORTS_MAX} are read")
    return [_report_of(check_worker_id(packed.worker), packed.incarnation, packed.report) for packed in pack]


def _report_of(worker: str, incarnation: int, said: WorkerReport) -> WorkerReported:
    report = checked_report(said)
    return WorkerReported(
        *(worker, incarnation, report.draining, report.running, report.queued, report.cpu, report.memory),
        *(report.network_bytes_s, report.shared, report.labels, report.resources),
    )


def _commanded(stream: str, entry_id: str, fields: dict[bytes, bytes]) -> list[AnyEvent]:  # noqa: ARG001 - one shape for all
    command: Command = _decode_command(_document(fields, b"f"))
    return [decided(command, int(entry_id.partition("-")[0]))]


_decoders: dict[str, Callable[[str, str, dict[bytes, bytes]], list[AnyEvent]]] = {
    "res": _finished,
    "rep": _reported,
    "cmd": _commanded,
}
