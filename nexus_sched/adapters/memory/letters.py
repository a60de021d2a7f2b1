"""Dead letters of a shard in memory: the twins of `nx_redrive` and `nx_purge`, and what of them can be read.

Law: a letter is named by its entry and its task, so that a call that is repeated finds nothing more to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from nexus_sched.adapters.memory.shard import DEAD, QUEUED, MemoryShard
from nexus_sched.adapters.memory.stream import RawFields, format_entry_id, parse_entry_id
from nexus_sched.runtime.ports import DeadLetter, LetterKey, Operation, Redrive

OPERATIONS_KEPT = 1_000
FORMER_KEY = b"\xafformer_attempts\xce"  # a string of 15 bytes, and what begins an unsigned integer of 4
FIXMAP, FIXMAP_MAX, MAP16 = 0x80, 0x8F, 0xDE  # how maps begin: up to 15 keys in the same byte, more in two more


def letters(shard: MemoryShard, after: str, count: int) -> list[DeadLetter]:
    """Up to `count` dead letters behind entry `after`, oldest first."""
    found = shard.streams["dead"].after(parse_entry_id(after), count)
    return [_letter(format_entry_id(entry), fields) for entry, fields in found]


def redrive(
    shard: MemoryShard, keys: Sequence[LetterKey], reason: str, actor: str, length_max: int, bytes_max: int
) -> list[Redrive]:
    """Twin of `nx_redrive`."""
    answers = [_redrive_one(shard, key, length_max, bytes_max) for key in keys]
    _remember(shard, b"redrive", answers.count(Redrive.QUEUED), reason, actor)
    return answers


def purge(shard: MemoryShard, keys: Sequence[LetterKey], reason: str, actor: str) -> list[bool]:
    """Twin of `nx_purge`."""
    answers = []
    for key in keys:
        letter = _find(shard, key)
        if letter is not None:
            shard.discard(parse_entry_id(key.entry), key.task_id, letter.reason)
        answers.append(letter is not None)
    _remember(shard, b"purge", sum(answers), reason, actor)
    return answers


def operations(shard: MemoryShard, count: int) -> list[Operation]:
    """The newest redrives and purges, newest first."""
    found = shard.streams["ops"].after((0, 0), OPERATIONS_KEPT)[-count:]
    return [
        Operation(entry[0], kind.decode(), int(number), reason.decode(), actor.decode())
        for entry, (_, kind, _, number, _, reason, _, actor) in reversed(found)
    ]


def _redrive_one(shard: MemoryShard, key: LetterKey, length_max: int, bytes_max: int) -> Redrive:
    letter, task = _find(shard, key), shard.tasks.get(key.task_id)
    if letter is None:
        return Redrive.REPEATED if task is not None and task.redriven == key.entry else Redrive.GONE
    if task is None or task.state != DEAD:
        return Redrive.NOT_DEAD
    if task.envelope is None:
        return Redrive.PAYLOAD_LOST
    queue, size = f"q:{task.priority}", task.payload_bytes
    if len(shard.streams[queue]) >= length_max or (size > 0 and shard.queued_bytes + size > bytes_max):
        return Redrive.BUSY
    last = max(task.attempt, task.attempt_min - 1, letter.attempt)
    task.state, task.outcome, task.eta = QUEUED, "", None
    task.attempt_min, task.redriven = last + 1, key.entry
    length = int.from_bytes(task.envelope[:4], "big")
    spec, payload = _sent_again(task.envelope[4 : 4 + length], last), task.envelope[4 + length :]
    task.envelope = len(spec).to_bytes(4, "big") + spec + payload
    shard.append(queue, b"i", key.task_id.encode(), b"m", spec, b"b", b"%d" % size, b"a", b"%d" % last)
    shard.streams["dead"].remove(parse_entry_id(key.entry))
    shard.queued_bytes += size
    return Redrive.QUEUED


def _sent_again(spec: bytes, attempts: int) -> bytes:
    """The description of a task that is sent again; see `TaskSpec.former_attempts`."""
    value = FORMER_KEY + attempts.to_bytes(4, "big")
    head = spec[0] if spec else 0
    if spec[-len(value) : -4] == FORMER_KEY:
        return spec[: -len(value)] + value
    if FIXMAP <= head < FIXMAP_MAX:
        return bytes([head + 1]) + spec[1:] + value
    if head == FIXMAP_MAX:
        return bytes([MAP16, 0, 16]) + spec[1:] + value
    if head != MAP16 or len(spec) < 3:
        return spec
    return bytes([MAP16]) + (int.from_bytes(spec[1:3], "big") + 1).to_bytes(2, "big") + spec[3:] + value


def _find(shard: MemoryShard, key: LetterKey) -> DeadLetter | None:
    instant, index = parse_entry_id(key.entry)
    before = (instant, index - 1) if index else (instant - 1, 2**64 - 1)
    for entry, fields in shard.streams["dead"].after(before, 1):
        letter = _letter(format_entry_id(entry), fields)
        if letter.key == key:
            return letter
    return None


def _letter(entry: str, fields: RawFields) -> DeadLetter:
    _, task_id, _, attempt, _, reason, _, worker, _, detail = (field.decode() for field in fields)
    return DeadLetter(entry, task_id, int(attempt), reason, worker, detail)


def _remember(shard: MemoryShard, kind: bytes, count: int, reason: str, actor: str) -> None:
    if count:
        shard.append("ops", b"k", kind, b"n", b"%d" % count, b"y", reason.encode(), b"w", actor.encode())
        stream = shard.streams["ops"]
        if len(stream) > OPERATIONS_KEPT:
            stream.remove(stream.after((0, 0), 1)[0][0])
