"""One turn as the journal keeps it: all inputs, all outputs, and where reading continues.

Replaying `events` at `at_ns` on the state before must give `effects` to the bit.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent

FORMAT = 1


class Turn(Struct, frozen=True, array_like=True):
    """One journal entry. `digest` (64 bit, of the state after the turn) is there every 1024 turns."""

    format: int
    seq: int
    epoch: int
    at_ns: int
    events: list[AnyEvent]
    effects: list[AnyEffect]
    cursors: dict[str, str]  # stream suffix -> last entry read
    digest: int | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Turn)


def encode_turn(turn: Turn) -> bytes:
    """MessagePack of a turn."""
    return _encoder.encode(turn)


def decode_turn(blob: bytes) -> Turn:
    """The turn in `blob`; raises `SnapshotUnreadable` if it is damaged or of another format."""
    try:
        turn = _decoder.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotUnreadable(f"journal entry cannot be read: {error}") from error
    if turn.format != FORMAT:
        raise SnapshotUnreadable(f"journal entry has format {turn.format}, this version reads {FORMAT}")
    return turn
