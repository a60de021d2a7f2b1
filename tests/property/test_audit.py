"""Whoever edits, cuts, inserts or moves records of an audit trail is found out, every time."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryAuditStore
from nexus_sched.control.record import Actor, Entry, decode_record, digest_of, hash_of, line_of
from nexus_sched.control.trail import Trail
from nexus_sched.control.verify import verify
from nexus_sched.runtime.ports import AuditHead, AuditLine

KEY = b"k" * 32
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


def chain(count: int, key: bytes | None) -> list[AuditLine]:
    lines: list[AuditLine] = []
    former = AuditHead(0, "")
    for number in range(count):
        lines.append(line_of(entry(number), former, 1_000 + number, key))
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


@pytest.mark.parametrize("key", [None, KEY])
def test_every_tampering_is_found(key: bytes | None):
    seed = 7
    print("seed", seed)
    random = Random(seed)
    lines = chain(40, key)
    assert verify(lines, head_of(lines), KEPT, key).findings == []
    missed = 0
    for _ in range(TAMPERINGS):
        other = tampered(random, lines)
        assert other != lines
        missed += verify(other, head_of(lines), KEPT, key).whole
    assert missed == 0


def test_trail_that_is_written_anew_from_some_record_on_cannot_be_signed():
    lines = chain(40, KEY)
    forged = lines[:20]
    former = head_of(forged)
    for number in range(20):
        forged.append(line_of(entry(90 + number), former, 9_000, b"another key" * 4))
        former = head_of(forged)
    assert verify(forged, former, KEPT).whole  # without the key nobody can tell
    assert "not signed with this key" in verify(forged, former, KEPT, KEY).findings[0]


def test_signature_that_was_taken_away_is_missed():
    lines = chain(5, KEY)
    lines[2] = lines[2]._replace(signature="")
    assert verify(lines, head_of(lines), KEPT).findings == ["record 3 was signed, which it no longer shows"]


def test_old_records_may_be_gone_only_where_as_many_are_left_as_are_kept():
    lines = chain(30, None)
    assert verify(lines[10:], head_of(lines), 20).whole
    assert not verify(lines[10:], head_of(lines), 21).whole


async def test_writers_at_the_same_time_make_one_chain():

    store = MemoryAuditStore()
    trails = [Trail(store, KEPT, KEY) for _ in range(5)]
    await asyncio.gather(*(trail.write(entry(number)) for number in range(20) for trail in trails))
    verdict = verify(store.lines, store.newest, KEPT, KEY)
    assert (verdict.records, verdict.signed, verdict.findings) == (100, 100, [])
