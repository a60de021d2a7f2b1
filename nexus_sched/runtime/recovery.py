"""How a leader comes to its state: the newest readable snapshot, then the journal behind it.

Law: the journal is the truth. Every recorded turn is handled again by the very code that handled it, and
its effects must come out the same; a difference means that the recorded ones are no longer reproducible,
and is refused instead of silently going on with another state. What another version has decided is carried out as
it was recorded (`Engine.follow`). From there on the state is nobody's to the bit, so turns are only followed, until a
snapshot is read: whoever leads from such a state writes one first.

Leaders of other shards may share this process: reading a snapshot and handling turns again give the loop to them after
every part, bounded by counts (`core.slices`, `REPLAYED_EVENTS_MAX`).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Generator, Mapping
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from nexus_sched.core import snapshot
from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.slices import at_once
from nexus_sched.errors import SnapshotUnreadable, StateLost
from nexus_sched.model.events import EpochBegan
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.runtime.ports import INPUT_STREAMS, LeaderStore
from nexus_sched.version import VERSION

JOURNAL_PAGE = 512
REPLAYED_EVENTS_MAX = 100  # handled again at once, or one turn of more: 3 ms or so
COMPRESS_INLINE_BYTES_MAX = 32_768  # about 0.2 ms
DECOMPRESS_INLINE_BYTES_MAX = 32_768  # about 0.5 ms; outside the GIL as well
START = "0-0"


State = TypeVar("State")


class AnyCheckpoint(Struct, Generic[State], array_like=True):
    """A snapshot as it is stored: the engine, and where reading continues."""

    seq: int
    at_ns: int
    cursors: dict[str, str]
    engine: State
    digest: int
    version: str = ""  # of the package that took it


Checkpoint = AnyCheckpoint[snapshot.EngineSnapshot]


class Recovered(Struct):
    """A state to go on from."""

    engine: Engine
    cursors: dict[str, str]
    at_ns: int
    replayed: int  # turns since the snapshot
    version: str = ""  # of the package that led when the last of them was taken, as far as is known
    followed: bool = False  # turns of another version are among them: the state is not what any leader had to the bit


_encode_checkpoint = msgspec.msgpack.Encoder().encode
_decode_checkpoint = msgspec.msgpack.Decoder(AnyCheckpoint[snapshot.StoredSnapshot]).decode


def encode_checkpoint(engine: Engine, cursors: Mapping[str, str], at_ns: int) -> bytes:
    """The state to go on from; `compress` it before it is stored."""
    state = snapshot.capture(engine)
    return _encode_checkpoint(Checkpoint(engine.seq, at_ns, dict(cursors), state, engine.digest(), VERSION))


def compress(blob: bytes) -> bytes:
    """A checkpoint as it is stored: about an eighth of its size. 100,000 tasks take 60 ms, outside the GIL."""
    return zlib.compress(blob, level=1)


async def compress_aside(blob: bytes) -> bytes:
    """`compress`, a large one in a thread, so that renewing the lease and reading go on."""
    return compress(blob) if len(blob) <= COMPRESS_INLINE_BYTES_MAX else await asyncio.to_thread(compress, blob)


def restore_checkpoint(blob: bytes, predictors: Mapping[str, PredictorFactory]) -> Recovered:
    """Engine and cursors of a stored checkpoint. Raises `SnapshotUnreadable`, also if its digest differs.

    The digest of another version's covers what that version knows, so it says nothing here.
    """
    return at_once(_restoring(_decompress(blob), predictors))


async def restore_beside(blob: bytes, predictors: Mapping[str, PredictorFactory]) -> Recovered:
    """`restore_checkpoint`, giving the loop to others after every part of it."""
    small = len(blob) <= DECOMPRESS_INLINE_BYTES_MAX
    steps = _restoring(_decompress(blob) if small else await asyncio.to_thread(_decompress, blob), predictors)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            restored: Recovered = end.value
            return restored
        await asyncio.sleep(0)


def _decompress(blob: bytes) -> bytes:
    try:
        return zlib.decompress(blob)
    except zlib.error as error:
        raise SnapshotUnreadable(f"checkpoint cannot be read: {error}") from error


def _restoring(packed: bytes, predictors: Mapping[str, PredictorFactory]) -> Generator[None, None, Recovered]:
    try:
        checkpoint = _decode_checkpoint(packed)
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotUnreadable(f"checkpoint cannot be read: {error}") from error
    engine = yield from snapshot.revival(checkpoint.engine, predictors)
    if checkpoint.version in ("", VERSION) and engine.digest() != checkpoint.digest:
        raise SnapshotUnreadable(f"checkpoint {checkpoint.seq} restores to another state than it was taken from")
    return Recovered(engine, dict(checkpoint.cursors), checkpoint.at_ns, 0, checkpoint.version)


async def recover(store: LeaderStore, predictors: Mapping[str, PredictorFactory], seq: int) -> Recovered:
    """The state after turn `seq`. Raises `StateLost` if the store no longer holds what is needed."""
    state = await newest_checkpoint(store, predictors)
    engine = state.engine
    if engine.seq > seq:
        raise StateLost(f"the shard is at turn {seq}, behind its own snapshot of turn {engine.seq}")
    handled = 0
    while engine.seq < seq:
        page = await store.journal(engine.seq, JOURNAL_PAGE)
        for number, blob in page:
            if number != engine.seq + 1:
                raise StateLost(f"the journal has a gap: turn {engine.seq + 1} is missing, {number} is there")
            turn = decode_turn(blob)
            apply(state, turn)
            handled += max(1, len(turn.events) + len(turn.effects))
            if handled >= REPLAYED_EVENTS_MAX:
                handled = 0
                await asyncio.sleep(0)
        if not page:
            raise StateLost(f"the journal ends at turn {engine.seq}, the shard is at {seq}")
    return state


def apply(state: Recovered, turn: Turn) -> None:
    """Take one recorded turn again. Raises `StateLost` if it does not come out as recorded.

    What another version has decided is carried out instead; `VersionsDiffer` if that cannot be done.
    """
    if turn.events and type(began := turn.events[0]) is EpochBegan:
        state.version = began.version
    state.followed = state.followed or state.version not in ("", VERSION)
    if state.followed:
        state.engine.follow(turn.events, turn.effects, turn.at_ns)
    else:
        _repeat(state.engine, turn)
    state.cursors.update(turn.cursors)
    state.at_ns = turn.at_ns
    state.replayed += 1


def _repeat(engine: Engine, turn: Turn) -> None:
    if engine.handle(turn.events, turn.at_ns) != turn.effects:
        raise StateLost(f"turn {turn.seq} does not come out as recorded: the journal and this version disagree")
    if turn.digest is not None and turn.digest != engine.digest():
        raise StateLost(f"the state after turn {turn.seq} differs from the recorded digest")


async def newest_checkpoint(store: LeaderStore, predictors: Mapping[str, PredictorFactory]) -> Recovered:
    """The newest state that can be read, or the very first one. Raises `SnapshotUnreadable` if none can be."""
    unreadable: SnapshotUnreadable | None = None
    for _, blob in await store.snapshots():
        try:
            return await restore_beside(blob, predictors)
        except SnapshotUnreadable as error:
            unreadable = error  # the one before it may still be readable, and the journal reaches back to it
    if unreadable is not None:
        raise unreadable
    return Recovered(Engine(predictors), dict.fromkeys(INPUT_STREAMS, START), 0, 0)
