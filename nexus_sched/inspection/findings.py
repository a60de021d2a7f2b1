"""What can be wrong with a shard: a stable code, a sentence, what to do about it, and the repair if one is safe.

Codes are never renamed or reused; docs/how-to/repair-a-shard.md explains them. A repair is named by the function of
`nexus_mend_v1.lua` and its arguments, or is a command to the scheduler.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

COMMAND = "cancel"  # the one repair that is no function of the store: the scheduler is asked to end the task


class Code(Enum):
    """What is wrong."""

    POINTER_DANGLING = "pointer-dangling"
    POINTER_STALE = "pointer-stale"
    POINTER_REPEATED = "pointer-repeated"
    POINTER_MISSING = "pointer-missing"
    PAYLOAD_LOST = "payload-lost"
    PAYLOAD_ORPHAN = "payload-orphan"
    RESULT_ORPHAN = "result-orphan"
    BYTES_WRONG = "bytes-wrong"
    INBOX_OWNERLESS = "inbox-ownerless"
    LETTER_MISSING = "letter-missing"
    JOURNAL_GAP = "journal-gap"
    JOURNAL_SHORT = "journal-short"
    SNAPSHOT_MISSING = "snapshot-missing"
    SNAPSHOT_UNREADABLE = "snapshot-unreadable"
    SNAPSHOT_STRAY = "snapshot-stray"
    STATE_UNRECOVERABLE = "state-unrecoverable"
    ENGINE_UNKNOWN = "engine-unknown"
    ENGINE_ELSEWHERE = "engine-elsewhere"


FIXES = {
    Code.POINTER_DANGLING: "--repair removes the pointer; whoever submitted the task has to submit it again",
    Code.POINTER_STALE: "--repair removes the pointer; the task has ended, nothing is lost",
    Code.POINTER_REPEATED: "--repair keeps the pointer that the scheduler knows and removes the other",
    Code.POINTER_MISSING: "--repair queues it again; if it had been started, that counts as a lost run",
    Code.PAYLOAD_LOST: "--repair asks the scheduler to cancel it, for it can never start; submit it again",
    Code.PAYLOAD_ORPHAN: "--repair deletes it; nobody can ask for it any more",
    Code.RESULT_ORPHAN: "--repair deletes it; nobody can ask for it any more",
    Code.BYTES_WRONG: "--repair sets the counter to the sum",
    Code.INBOX_OWNERLESS: "--repair queues what lies in it again",
    Code.LETTER_MISSING: "--repair writes the letter, so that `dead redrive` and `dead purge` find the task",
    Code.JOURNAL_GAP: "restore the server's data from a backup or replica; a scheduler refuses to lead from here",
    Code.JOURNAL_SHORT: "restore the server's data from a backup or replica; a scheduler refuses to lead from here",
    Code.SNAPSHOT_MISSING: "nothing is needed if the other snapshot is readable: the next one replaces it",
    Code.SNAPSHOT_UNREADABLE: "nothing is needed if the other snapshot is readable: the next one replaces it",
    Code.SNAPSHOT_STRAY: "--repair deletes it; nothing refers to it",
    Code.STATE_UNRECOVERABLE: "restore the server's data, or run the version that wrote the journal",
    Code.ENGINE_UNKNOWN: "--repair queues it anew if it waits; if a worker holds it, its end will be accepted",
    Code.ENGINE_ELSEWHERE: "--repair tells the scheduler that the task is gone",
}


class Finding(Struct, frozen=True):
    """One thing that is wrong. `(code, subject)` stays the same as long as it is the same thing."""

    code: Code
    subject: str
    sentence: str
    repair: tuple[str, ...] = ()  # name and arguments, empty if there is no safe one

    @property
    def fix(self) -> str:
        """What to do about it."""
        return FIXES[self.code]
