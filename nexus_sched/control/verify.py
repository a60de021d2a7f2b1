"""Whether an audit trail is whole: every record as it was written, each behind the one it was written behind."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from nexus_sched.control.record import decode_record, digest_of, signature_of
from nexus_sched.runtime.ports import AuditHead, AuditLine

FINDINGS_MAX = 100


class TrailVerdict(Struct, frozen=True):
    """What was found. `findings` is empty if the trail is whole."""

    records: int
    first: int  # number of the first record that is there, 0 without any
    signed: int
    findings: list[str]

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(lines: Iterable[AuditLine], head: AuditHead | None, kept: int, key: bytes | None = None) -> TrailVerdict:
    """Look through a trail from its beginning.

    `head` is what the store says of the newest record, `None` if it is not known (of a file). The first records may be
    missing only if `kept` are left, which is how many the store keeps.
    """
    found: list[str] = []
    first = records = signed = 0
    former = AuditHead(0, "")
    for line in lines:
        records += 1
        if records == 1:
            first = line.number
            former = AuditHead(first - 1, _former_of(line))
        found += _problems(line, former, key)
        signed += bool(line.signature)
        former = AuditHead(line.number, line.digest)
    if first > 1 and records < kept:
        found.insert(0, f"records 1 to {first - 1} are missing, although {kept} are kept and {records} are there")
    if head is not None and head != former:
        found.append(f"the newest record is {former.number}, but the store knows of {head.number}: the end was changed")
    return TrailVerdict(records, first, signed, found[:FINDINGS_MAX])


def _former_of(line: AuditLine) -> str:
    """What the first record that is left says of the one before; of the very first there is none."""
    if line.number <= 1:
        return ""
    try:
        return decode_record(line.record).former
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _problems(line: AuditLine, former: AuditHead, key: bytes | None) -> list[str]:
    name = f"record {line.number}"
    if line.number != former.number + 1:
        return [f"{name} follows {former.number}: records are missing, doubled or moved"]
    if digest_of(line.record) != line.digest:
        return [f"{name} is not what was written: its digest differs"]
    try:
        record = decode_record(line.record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return [f"{name} cannot be read: {error}"]
    found = []
    if record.number != line.number:
        found.append(f"{name} was written as record {record.number}")
    if record.former != former.digest:
        found.append(f"{name} was not written behind the record that stands before it")
    if record.signed != bool(line.signature):
        found.append(f"{name} was {'signed' if record.signed else 'not signed'}, which it no longer shows")
    elif key is not None and line.signature and not hmac.compare_digest(signature_of(key, line.digest), line.signature):
        found.append(f"{name} is not signed with this key")
    return found
