"""One record of the audit trail, and how records hang together.

A record says who did what to whom, from where and why, and has the digest of the former record in it. Its own digest is
the SHA-256 of its very bytes, so nobody can change, cut, insert or move a record without changing all that follow; and
whoever writes all of them anew cannot sign them without the private key.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from nexus_sched.runtime.ports import AuditHead, AuditLine

if TYPE_CHECKING:
    from nexus_sched.control.signing import Signer

DETAIL_BYTES_MAX = 2_000

_encode = msgspec.json.Encoder(order="deterministic").encode


class Actor(Struct, frozen=True):
    """Who changes something, and from where: `api 10.0.0.7`, `cli build-3`, `sighup`."""

    name: str
    source: str


class Entry(Struct, frozen=True, kw_only=True):
    """What is to be remembered of one change, before it has its place in the trail."""

    actor: Actor
    action: str  # "worker.drain", "task.cancel", ...
    subject: str  # the worker, the task, ...
    reason: str
    before: str  # SHA-256 of what it was before; empty if it was nothing
    after: str  # SHA-256 of what was asked for
    detail: str = ""  # what was asked for, as JSON; never a payload or a secret


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One record as it is read."""

    number: Annotated[int, Meta(ge=1)]
    at_ms: int  # by the clock of whoever wrote it
    actor: str
    source: str
    action: str
    subject: str
    reason: str
    before: str
    after: str
    former: str  # digest of the record before; empty in the first one
    detail: str = ""
    signed: bool = False  # it was written with the key
    nonce: str = ""  # so that two who record the same at the same time do not take one record for both


decode_record = msgspec.json.Decoder(AuditRecord).decode


def hash_of(value: object) -> str:
    """SHA-256 of a value's canonical JSON, as hexadecimal digits; empty for `None`."""
    return "" if value is None else hashlib.sha256(_encode(value)).hexdigest()


def detail_of(value: object) -> str:
    """A value as JSON, cut off where it is too long to keep."""
    return _encode(value)[:DETAIL_BYTES_MAX].decode(errors="ignore")


def line_of(entry: Entry, former: AuditHead, at_ms: int, signer: Signer | None) -> AuditLine:
    """The entry as the next record behind `former`, signed if there is a signer."""
    record = AuditRecord(
        number=former.number + 1,
        at_ms=at_ms,
        actor=entry.actor.name,
        source=entry.actor.source,
        action=entry.action,
        subject=entry.subject,
        reason=entry.reason,
        before=entry.before,
        after=entry.after,
        former=former.digest,
        detail=entry.detail,
        signed=signer is not None,
        nonce=secrets.token_hex(8),
    )
    blob = _encode(record)
    digest = digest_of(blob)
    return AuditLine(record.number, blob, digest, "" if signer is None else signer.sign(digest))


def digest_of(record: bytes) -> str:
    """What names a record, and all before it."""
    return hashlib.sha256(record).hexdigest()
