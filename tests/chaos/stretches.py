"""Takes those turns of a journal again that this version led, in a process that runs this version's tree.

A stretch of turns begins where a version takes over. It must come out to the bit, from the snapshot that was left
behind the turn before it, by the other version or by whoever took over. In between, what the other version decided must
be possible to carry out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from nexus_sched.core.engine import Engine
from nexus_sched.errors import NexusError
from nexus_sched.model.events import EpochBegan
from nexus_sched.model.journal import decode_turn
from nexus_sched.plugins.catalogue import Catalogue
from nexus_sched.runtime.ports import INPUT_STREAMS
from nexus_sched.runtime.recovery import START, Recovered, apply, restore_checkpoint
from nexus_sched.version import VERSION

FILE = "history"


class Past(Struct):
    """What is to be judged: the turns as they were recorded, from the first, and the snapshots that were seen."""

    turns: list[bytes]
    snapshots: dict[int, bytes]


class Judged(Struct):
    """By one version: how many turns it led, and what is wrong with them, in words."""

    version: str
    turns: int = 0
    stretches: int = 0
    wrong: list[str] = []


def judge(turns: Sequence[bytes], snapshots: Mapping[int, bytes]) -> Judged:
    """Take the turns again; what other versions decided must be possible to carry out."""
    judged, predictors, author = Judged(VERSION), Catalogue(), ""
    state: Recovered | None = Recovered(Engine(predictors), dict.fromkeys(INPUT_STREAMS, START), 0, 0)
    for blob in turns:
        turn = decode_turn(blob)
        led = next((event.version for event in turn.events if type(event) is EpochBegan), author)
        if led == VERSION != author:
            judged.stretches += 1
            left = snapshots.get(turn.seq - 1)
            if left is not None:
                state = restore_checkpoint(left, predictors)
            elif state is None or state.followed:
                judged.wrong.append(f"nothing was left behind which version {VERSION} could take turn {turn.seq}")
                state = None
        author = led
        judged.turns += led == VERSION
        if state is not None and (wrong := _difference(state, blob)):
            judged.wrong.append(f"version {VERSION}: {wrong}")
            state = None
    return judged


def _difference(state: Recovered, blob: bytes) -> str:
    try:
        apply(state, decode_turn(blob))
    except NexusError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    past = msgspec.msgpack.decode((Path(sys.argv[1]) / FILE).read_bytes(), type=Past)
    print(msgspec.json.encode(judge(past.turns, past.snapshots)).decode())
