"""What a shard's journal holds of a span of time: the state at its beginning, and every turn since.

Law: reads only. A journal is cut behind the second newest snapshot, so a busy shard holds some minutes; a file that is
appended to now and then (`replay.journal_file`) holds as long as it was kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from msgspec import Struct

from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.core.snapshot import EngineSnapshot, capture
from nexus_sched.errors import StateLost
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.runtime.ports import LeaderStore
from nexus_sched.runtime.recovery import JOURNAL_PAGE, restore_checkpoint
from nexus_sched.units import NS_PER_MS


class Kept(Struct):
    """A checkpoint as it is stored (`None`: the turns begin with the first ever), and turns without a gap behind it."""

    checkpoint: bytes | None
    turns: list[Turn]

    @property
    def span_ms(self) -> tuple[int, int]:
        """From the first to the last turn, on the store's clock."""
        return self.turns[0].at_ns // NS_PER_MS, self.turns[-1].at_ns // NS_PER_MS


class Span(Struct):
    """The state before a span, and its turns."""

    before: EngineSnapshot
    turns: list[Turn]
    available_ms: tuple[int, int]


async def kept_in_store(store: LeaderStore) -> Kept:
    """All that a shard still holds. Raises `StateLost` if that is nothing."""
    snapshots = await store.snapshots()
    first = await store.journal(0, 1)
    uncut = not snapshots or (bool(first) and first[0][0] == 1)
    after, checkpoint = (0, None) if uncut else snapshots[-1]
    turns: list[Turn] = []
    while page := await store.journal(after, JOURNAL_PAGE):
        turns += [decode_turn(blob) for _, blob in page]
        after = page[-1][0]
    if not turns:
        raise StateLost("the journal of this shard is empty: no scheduler has served it, or it was just cut")
    return Kept(checkpoint, turns)


def last(kept: Kept, since_ms: int | None, predictors: Mapping[str, PredictorFactory]) -> Span:
    """The last `since_ms` of what is kept, all of it if `None`; the turns before are handled again to get there.

    Raises `StateLost` at a gap, `SnapshotUnreadable` for a checkpoint of another version.
    """
    from_ms, until_ms = kept.span_ms
    begin_ms = from_ms if since_ms is None else max(from_ms, until_ms - since_ms)
    engine = Engine(predictors) if kept.checkpoint is None else restore_checkpoint(kept.checkpoint, predictors).engine
    index = bisect_left(kept.turns, begin_ms * NS_PER_MS, key=lambda turn: turn.at_ns)
    for turn in kept.turns[:index]:
        _follow(engine, turn)
    return Span(capture(engine), _without_gap(kept.turns[index:], engine.seq), kept.span_ms)


def _follow(engine: Engine, turn: Turn) -> None:
    _expect(turn, engine.seq + 1)
    engine.handle(turn.events, turn.at_ns)


def _without_gap(turns: Sequence[Turn], seq: int) -> list[Turn]:
    for place, turn in enumerate(turns, start=1):
        _expect(turn, seq + place)
    return list(turns)


def _expect(turn: Turn, seq: int) -> None:
    if turn.seq != seq:
        raise StateLost(f"the journal has a gap: turn {seq} is missing, {turn.seq} is there")
