"""Does every recorded decision come out again? Turns are handled anew and compared to the bit.

The same comparison guards a recovery (`runtime.recovery.apply`), which refuses the first difference; here all
of them are collected, so that people can look at them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest

from msgspec import Struct

from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.errors import StateLost
from nexus_sched.model.effects import AnyEffect, Dispatch
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.runtime.ports import LeaderStore
from nexus_sched.runtime.recovery import restore_checkpoint

DIFFERENCES_MAX = 100
JOURNAL_PAGE = 512


class Difference(Struct, frozen=True):
    """One effect that came out differently. `None`: there was none at that place."""

    seq: int
    index: int
    recorded: AnyEffect | None
    recomputed: AnyEffect | None


class Verdict(Struct):
    """What a replay found. `agrees` means: every effect and every recorded digest, to the bit."""

    turns: int = 0
    decisions: int = 0
    digests: int = 0
    first_seq: int = 0
    last_seq: int = 0
    wrong_digests: list[int] = []
    differences: list[Difference] = []

    @property
    def agrees(self) -> bool:
        """Whether nothing differed."""
        return not self.differences and not self.wrong_digests


def verify(engine: Engine, turns: Iterable[Turn], verdict: Verdict | None = None) -> Verdict:
    """Handle `turns` on `engine`, which must be in the state before the first. Raises `StateLost` at a gap."""
    verdict = verdict or Verdict(first_seq=engine.seq + 1)
    for turn in turns:
        if turn.seq != engine.seq + 1:
            raise StateLost(f"the journal has a gap: turn {engine.seq + 1} is missing, {turn.seq} is there")
        effects = engine.handle(turn.events, turn.at_ns)
        if effects != turn.effects:
            _compare(turn, effects, verdict)
        if turn.digest is not None:
            verdict.digests += 1
            if turn.digest != engine.digest():
                verdict.wrong_digests.append(turn.seq)
        verdict.turns += 1
        verdict.decisions += sum(type(effect) is Dispatch for effect in turn.effects)
        verdict.last_seq = turn.seq
    return verdict


def _compare(turn: Turn, effects: list[AnyEffect], verdict: Verdict) -> None:
    for index, (recorded, recomputed) in enumerate(zip_longest(turn.effects, effects)):
        if recorded != recomputed and len(verdict.differences) < DIFFERENCES_MAX:
            verdict.differences.append(Difference(turn.seq, index, recorded, recomputed))


async def verify_store(store: LeaderStore, predictors: Mapping[str, PredictorFactory]) -> Verdict:
    """Replay all that a shard still holds: from its oldest snapshot, else from the first turn."""
    kept = await store.snapshots()
    oldest = await store.journal(0, 1)
    uncut = not kept or (bool(oldest) and oldest[0][0] == 1)
    engine = Engine(predictors) if uncut else restore_checkpoint(kept[-1][1], predictors).engine
    verdict = Verdict(first_seq=engine.seq + 1)
    while page := await store.journal(engine.seq, JOURNAL_PAGE):
        verify(engine, (decode_turn(blob) for _, blob in page), verdict)
    return verdict
