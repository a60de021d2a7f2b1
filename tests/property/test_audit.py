"""Whoever edits, cuts, inserts or moves records of an audit trail is found out, every time."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nexus_sched.adapters.memory import MemoryAuditStore
from nexus_sched.control.public_keys import PublicKeys
from nexus_sched.control.record import Actor, Entry, decode_record, digest_of, hash_of, line_of
from nexus_sched.control.signing import Signer
from nexus_sched.control.trail import Trail
from nexus_sched.control.verify import KeyUse, verify
from nexus_sched.runtime.ports import AuditHead, AuditLine

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NEWER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
SIGNER = Signer(PRIVATE)
KEYS = PublicKeys([PRIVATE.public_key()])
KEPT = 1_000
TAMPERINGS = 1_000


def entry(number: int) -> Entry:
    return Entry(
        actor=Actor(f"ann-{number % 3}", "cli here"),
        action="worker.drain",
        subject=f"w{number}",
        reason="new disk" * (number % 4),
        before=hash_of({"standing": number}),
        after=hash_of(number),
        detail='{"a":1}',
    )


def chain(count: int, signer: Signer | None, every: int = 1) -> list[AuditLine]:
    """Records, of which every so many is signed, the last one among them."""
    lines: list[AuditLine] = []
    former = AuditHead(0, "")
    for number in range(count):
        lines.append(line_of(entry(number), former, 1_000 + number, None if (count - number - 1) % every else signer))
        former = AuditHead(number + 1, lines[-1].digest)
    return lines


def head_of(lines: list[AuditLine]) -> AuditHead:
    return AuditHead(lines[-1].number, lines[-1].digest)


def edited(random: Random, line: AuditLine) -> AuditLine:
    """One field of a line is another one; sometimes the digest is made to fit."""
    record = msgspec.structs.asdict(decode_record(line.record))
    name = random.choice([name for name in record if name not in ("number", "signed")])
    record[name] = record[name] + 1 if name == "at_ms" else record[name] + "x"
    blob = msgspec.json.encode(record, order="deterministic")
    what = random.randrange(4)
    if what == 0:
        return line._replace(record=blob)
    if what == 1:
        return line._replace(record=blob, digest=digest_of(blob))
    if what == 2:
        place = random.randrange(len(line.record))
        return line._replace(record=line.record[:place] + bytes([line.record[place] ^ 1]) + line.record[place + 1 :])
    return line._replace(digest=digest_of(b"another"))


def tampered(random: Random, lines: list[AuditLine]) -> list[AuditLine]:
    found = list(lines)
    place = random.randrange(len(found))
    what = random.choice(("edit", "cut", "insert", "reorder"))
    if what == "edit":
        found[place] = edited(random, found[place])
    elif what == "cut":
        del found[place : place + random.randint(1, 5)]
    elif what == "insert":
        forged = line_of(entry(random.randrange(99)), AuditHead(place, digest_of(b"")), 5, None)
        found.insert(place, random.choice((forged, random.choice(lines))))
    else:
        other = random.choice([each for each in range(len(found)) if each != place])
        found[place], found[other] = found[other], found[place]
    return found


@pytest.mark.parametrize("signer", [None, SIGNER])
def test_every_tampering_is_found(signer: Signer | None):
    seed = 7
    print("seed", seed)
    random = Random(seed)
    lines = chain(20, signer, every=4)
    keys = None if signer is None else KEYS
    assert verify(lines, head_of(lines), KEPT, keys).findings == []
    missed = 0
    for _ in range(TAMPERINGS):
        other = tampered(random, lines)
        assert other != lines
        missed += verify(other, head_of(lines), KEPT, keys).whole
    assert missed == 0


@pytest.mark.parametrize("forger", [None, Signer(NEWER)])
def test_trail_that_is_written_anew_from_some_record_on_is_not_proven(forger: Signer | None):
    lines = chain(40, SIGNER)
    forged = lines[:20]
    former = head_of(forged)
    for number in range(20):
        forged.append(line_of(entry(90 + number), former, 9_000, forger))
        former = head_of(forged)
    assert verify(forged, former, KEPT).whole  # without the key nobody can tell
    verdict = verify(forged, former, KEPT, KEYS)
    assert verdict.proven == 20
    assert verdict.findings[-1].startswith("records 21 to 40 stand behind the last signature")
    assert forger is None or f"record 21 is signed with the key {forger.name}, which" in verdict.findings[0]


def test_signature_vouches_for_what_stands_before_it():
    former, lines = AuditHead(0, ""), []
    for number in range(10):
        lines.append(line_of(entry(number), former, number, SIGNER if number in (4, 9) else None))
        former = head_of(lines)
    verdict = verify(lines, former, KEPT, KEYS)
    assert (verdict.findings, verdict.signed, verdict.proven) == ([], 2, 10)
    verdict = verify(lines[:9], head_of(lines[:9]), KEPT, KEYS)
    assert verdict.findings == [
        "records 6 to 9 stand behind the last signature of these keys, so nothing proves who wrote that"
    ]


def test_keys_that_were_rotated_prove_the_trail_together():
    newer = Signer(NEWER)
    lines = chain(5, SIGNER)
    lines.append(line_of(entry(5), head_of(lines), 5, newer))
    both = PublicKeys([PRIVATE.public_key(), NEWER.public_key()])
    verdict = verify(lines, head_of(lines), KEPT, both)
    assert verdict.findings == []
    assert verdict.keys == {SIGNER.name: KeyUse(1, 5, 5), newer.name: KeyUse(6, 6, 1)}
    assert not verify(lines, head_of(lines), KEPT, KEYS).whole


def test_signature_with_a_shared_key_of_before_proves_nothing_and_disturbs_nothing():
    lines = [line._replace(signature="ab" * 32) for line in chain(3, SIGNER)]
    assert verify(lines, head_of(lines), KEPT).whole
    assert verify(lines, head_of(lines), KEPT, KEYS).proven == 0
    lines.append(line_of(entry(3), head_of(lines), 3, SIGNER))
    assert verify(lines, head_of(lines), KEPT, KEYS).findings == []


def test_signature_that_was_taken_away_is_missed():
    lines = chain(5, SIGNER)
    lines[2] = lines[2]._replace(signature="")
    assert verify(lines, head_of(lines), KEPT).findings == ["record 3 was signed, which it no longer shows"]


def test_old_records_may_be_gone_only_where_as_many_are_left_as_are_kept():
    lines = chain(30, None)
    assert verify(lines[10:], head_of(lines), 20).whole
    assert not verify(lines[10:], head_of(lines), 21).whole


async def test_writers_at_the_same_time_make_one_chain():

    store = MemoryAuditStore()
    trails = [Trail(store, KEPT, SIGNER) for _ in range(5)]
    await asyncio.gather(*(trail.write(entry(number)) for number in range(20) for trail in trails))
    verdict = verify(store.lines, store.newest, KEPT, KEYS)
    assert (verdict.records, verdict.signed, verdict.findings) == (100, 100, [])
