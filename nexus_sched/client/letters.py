"""Dead letters as a client sees them: found page by page, changed in calls of a bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.task import TaskSpec
from nexus_sched.runtime.ports import LETTERS_MAX, DeadLetter, LetterKey, SubmitterStore

SPEC_BYTES_MAX = 16_384  # of an envelope; longer descriptions are refused at the border
REASON_LENGTH_MAX = 500
_SPEC_AT = 4  # behind the length of the spec

_decode_spec = msgspec.msgpack.Decoder(TaskSpec).decode


async def find_letters(
    store: SubmitterStore, limit: int, reason: str | None = None, task_type: str | None = None
) -> list[DeadLetter]:
    """Up to `limit` dead letters, oldest first, of one reason and one type of task if these are given."""
    found: list[DeadLetter] = []
    async for letter in every_letter(store):
        if len(found) == limit:
            break
        if reason is not None and letter.reason != reason:
            continue
        if task_type is not None and await type_of(store, letter.task_id) != task_type:
            continue
        found.append(letter)
    return found


async def every_letter(store: SubmitterStore) -> AsyncIterator[DeadLetter]:
    """All dead letters, oldest first, never more than a page of them in memory."""
    after = "0-0"
    while page := await store.dead_letters(after, LETTERS_MAX):
        for letter in page:
            yield letter
        after = page[-1].entry


async def type_of(store: SubmitterStore, task_id: str) -> str:
    """The type of a task whose envelope is still there; empty if it is not, or cannot be read."""
    head = await store.payload(task_id, SPEC_BYTES_MAX) if task_id else None
    spec = None if head is None else spec_of(head)
    return "" if spec is None else spec.type


def spec_of(envelope: bytes) -> TaskSpec | None:
    """What a task asks for, by its envelope or the first `SPEC_BYTES_MAX` of it; `None` if it cannot be read."""
    length = int.from_bytes(envelope[:_SPEC_AT], "big")
    try:
        return _decode_spec(envelope[_SPEC_AT : _SPEC_AT + length])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def payload_of(envelope: bytes) -> bytes:
    """The payload in a whole envelope."""
    return envelope[_SPEC_AT + int.from_bytes(envelope[:_SPEC_AT], "big") :]


def pages(keys: Sequence[LetterKey]) -> Iterator[list[LetterKey]]:
    """Runs of letters that fit one call."""
    remaining = iter(keys)
    while page := list(islice(remaining, LETTERS_MAX)):
        yield page


def check_reason(reason: str) -> None:
    """Raises `InvalidInput` for a reason that says nothing or too much."""
    if not reason.strip():
        raise InvalidInput("the reason is empty: say why, others will want to know")
    if len(reason) > REASON_LENGTH_MAX:
        raise InvalidInput(f"the reason has {len(reason)} characters, at most {REASON_LENGTH_MAX} are kept")
