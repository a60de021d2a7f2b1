"""Whether an audit trail is whole: every record as it was written, each behind the one it was written behind.

With public keys also whether it is what the holders of the private ones wrote: a signature vouches for its record and
all before it. So records behind the last one are proven by nothing, and that is a finding: whoever can write to the
store could have put them in the place of others.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct, field

from nexus_sched.control.public_keys import PublicKeys, signer_of
from nexus_sched.control.record import decode_record, digest_of
from nexus_sched.runtime.ports import AuditHead, AuditLine

FINDINGS_MAX = 100


class KeyUse(Struct):
    """What one key has signed, by its own word: numbers of the first and the last record, and how many."""

    first: int
    last: int
    records: int = 0


class TrailVerdict(Struct, frozen=True):
    """What was found. `findings` is empty if the trail is whole."""

    records: int
    first: int  # number of the first record that is there, 0 without any
    signed: int
    proven: int | None  # number of the last record that a signature proves, with all before it; `None` without keys
    keys: dict[str, KeyUse]  # by name
    findings: list[str]

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class _Seen(Struct):
    """What was seen of a trail up to some record."""

    records: int = 0
    first: int = 0
    signed: int = 0
    proven: int = 0
    former: AuditHead = AuditHead(0, "")
    keys: dict[str, KeyUse] = field(default_factory=dict)

    def add(self, line: AuditLine, *, proven: bool) -> None:
        """One record more."""
        self.records += 1
        self.signed += bool(line.signature)
        self.former = AuditHead(line.number, line.digest)
        if proven:
            self.proven = line.number
        if name := signer_of(line.signature):
            use = self.keys.setdefault(name, KeyUse(line.number, line.number))
            use.last = line.number
            use.records += 1


def verify(
    lines: Iterable[AuditLine], head: AuditHead | None, kept: int, keys: PublicKeys | None = None
) -> TrailVerdict:
    """Look through a trail from its beginning.

    `head` is what the store says of the newest record, `None` if it is not known (of a file). The first records may be
    missing only if `kept` are left, which is how many the store keeps.
    """
    found: list[str] = []
    seen = _Seen()
    for line in lines:
        if not seen.records:
            seen.first = line.number
            seen.former = AuditHead(line.number - 1, _former_of(line))
        problems = _problems(line, seen.former)
        if not problems and keys is not None and signer_of(line.signature):
            problem = keys.problem(line.signature, line.digest)
            problems += [f"record {line.number} {problem}"] if problem else []
        found += problems
        seen.add(line, proven=keys is not None and not problems and bool(signer_of(line.signature)))
    if seen.first > 1 and seen.records < kept:
        missing = f"records 1 to {seen.first - 1} are missing, although {kept} are kept and {seen.records} are there"
        found.insert(0, missing)
    if head is not None and head != seen.former:
        end = f"the newest record is {seen.former.number}, but the store knows of {head.number}: the end was changed"
        found.append(end)
    if keys is not None and seen.proven < seen.former.number:
        found.append(_unproven(max(seen.proven + 1, seen.first), seen.former.number))
    proven = None if keys is None else seen.proven
    return TrailVerdict(seen.records, seen.first, seen.signed, proven, seen.keys, found[:FINDINGS_MAX])


def _unproven(first: int, last: int) -> str:
    which = f"record {last} stands" if first == last else f"records {first} to {last} stand"
    return f"{which} behind the last signature of these keys, so nothing proves who wrote that"


def _former_of(line: AuditLine) -> str:
    """What the first record that is left says of the one before; of the very first there is none."""
    if line.number <= 1:
        return ""
    try:
        return decode_record(line.record).former
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _problems(line: AuditLine, former: AuditHead) -> list[str]:
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
    return found
