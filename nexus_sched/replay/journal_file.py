"""A journal in a file, for spans that the store no longer holds: a checkpoint, and the turns behind it.

The file is one gzip member for each time it was appended to; inside are records of a kind (`S` the checkpoint that
came first, `T` a turn), a length of 4 bytes (big endian) and that many bytes. Appending adds the turns that are not in
it yet; where the store was cut since, and turns are missing, it is refused: a file with a gap cannot be followed.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from nexus_sched.errors import InvalidInput, StateLost
from nexus_sched.model.journal import Turn, decode_turn, encode_turn
from nexus_sched.replay.span import Kept

CHECKPOINT, TURN = b"S", b"T"
HEAD_BYTES = 5


def append(path: Path, kept: Kept) -> int:
    """Write what is not in the file yet; gives how many turns that were. Raises `StateLost` at a gap.

    Raises `InvalidInput` if the file cannot be read or written.
    """
    exists = path.exists() and path.stat().st_size > 0
    turns = kept.turns
    if exists:
        last_seq = read(path).turns[-1].seq
        turns = [turn for turn in turns if turn.seq > last_seq]
        if turns and turns[0].seq != last_seq + 1:
            raise StateLost(f"{path} ends with turn {last_seq}, the store begins with {turns[0].seq}: begin a new file")
    records = [] if exists or kept.checkpoint is None else [(CHECKPOINT, kept.checkpoint)]
    records += [(TURN, encode_turn(turn)) for turn in turns]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream, gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=5) as packed:
            for kind, blob in records:
                packed.write(kind + len(blob).to_bytes(HEAD_BYTES - 1, "big") + blob)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error
    return len(turns)


def read(path: Path) -> Kept:
    """What the file holds. Raises `InvalidInput` if it is no such file, or damaged."""
    checkpoint: bytes | None = None
    turns: list[Turn] = []
    for kind, blob in _records(path):
        if kind == CHECKPOINT and checkpoint is None and not turns:
            checkpoint = blob
        elif kind == TURN:
            turns.append(decode_turn(blob))
        else:
            raise InvalidInput(f"{path}: this is no exported journal")
    if not turns:
        raise InvalidInput(f"{path}: there is no turn in it")
    return Kept(checkpoint, turns)


def _records(path: Path) -> Iterator[tuple[bytes, bytes]]:
    try:
        with gzip.open(path, "rb") as stream:
            while head := stream.read(HEAD_BYTES):
                length = int.from_bytes(head[1:], "big")
                blob = stream.read(length)
                if len(head) < HEAD_BYTES or len(blob) < length:
                    raise InvalidInput(f"{path}: it ends in the middle of a record")
                yield head[:1], blob
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: cannot be read as an exported journal: {error}") from error
