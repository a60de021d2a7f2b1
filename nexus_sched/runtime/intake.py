"""The queue between reading and deciding: batches of events, each with the cursor behind it.

Bounded: the reader waits when the engine is behind, so memory does not grow with the backlog of the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from nexus_sched.errors import StoreError
from nexus_sched.model.events import AnyEvent, PredictorChosen
from nexus_sched.runtime.inputs import events_of
from nexus_sched.runtime.ports import RECLAIMED_STREAM, LeaderStore, RawBatch

READ_COUNT = 256  # entries of one stream in one read
READ_BLOCK_MS = 1_000
WAITING_EVENTS_MAX = 2_048
TURN_EVENTS_MAX = 512
COMMAND_STREAM = "cmd"


class Batch(NamedTuple):
    """Events of one stream and the last entry they came from; both empty for the shell's own events."""

    events: list[AnyEvent]
    stream: str
    cursor: str


class Inputs:
    """What waits to be decided. One reader fills it, one turn loop empties it."""

    def __init__(
        self,
        store: LeaderStore,
        cursors: dict[str, str],
        *,
        one_by_one: bool = False,
        prepare: Callable[[str], object] | None = None,
    ) -> None:
        self._store = store
        self._prepare = prepare  # loads a predictor by name, in a thread, before the turn that chooses it
        self.one_by_one = one_by_one  # read one entry of a stream at a time, give one event at a time
        self._read_cursors = dict(cursors)
        self._batches: deque[Batch] = deque()
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self.arrived = asyncio.Event()  # set whenever there is something to do

    def __bool__(self) -> bool:
        return bool(self._batches)

    def feed(self, events: list[AnyEvent], stream: str = "", cursor: str = "") -> None:
        """Append events. Those of the shell itself come without a stream."""
        if self.one_by_one:
            # the cursor goes with the last event of an entry: what is read again is recognised as a repeat
            self._batches.extend(Batch([event], "", "") for event in events[:-1])
            events = events[-1:]
        self._batches.append(Batch(events, stream, cursor))
        self._waiting += len(events)
        if self._waiting >= WAITING_EVENTS_MAX:
            self._room.clear()
        self.arrived.set()

    def take(self) -> tuple[list[AnyEvent], dict[str, str]]:
        """Events for one turn, and the cursors behind them. Whole batches, at least one if any waits."""
        events: list[AnyEvent] = []
        cursors: dict[str, str] = {}
        batches = self._batches
        most = 1 if self.one_by_one else TURN_EVENTS_MAX
        while batches and (not events or len(events) + len(batches[0].events) <= most):
            batch = batches.popleft()
            events.extend(batch.events)
            if batch.stream:
                cursors[batch.stream] = batch.cursor
        self._waiting -= len(events)
        if self._waiting < WAITING_EVENTS_MAX:
            self._room.set()
        return events, cursors

    async def read(self) -> None:
        """Read until cancelled. Raises what the store raises."""
        cursors = self._read_cursors
        while True:
            await self._room.wait()
            count = 1 if self.one_by_one else READ_COUNT
            for stream, entries in in_order(await self._store.read(cursors, count, READ_BLOCK_MS), count):
                cursor = entries[-1][0]
                if not isinstance(cursor, bytes):
                    raise StoreError(f"the store gave an entry of {stream} without an id")
                cursors[stream] = cursor.decode("ascii")
                events = events_of(stream, entries)
                if stream == COMMAND_STREAM and self._prepare is not None:
                    await self._load_chosen(events, self._prepare)
                self.feed(events, stream, cursors[stream])

    async def _load_chosen(self, events: list[AnyEvent], prepare: Callable[[str], object]) -> None:
        """Import and read what a swap needs while turns go on; a swap must not make a pause."""
        for event in events:
            if type(event) is PredictorChosen and event.name:
                # whatever is wrong with it, the engine refuses the choice in its own words
                with contextlib.suppress(Exception):
                    await asyncio.to_thread(prepare, event.name)


def in_order(batch: RawBatch, count: int) -> RawBatch:
    """The part of one read that may be decided now, causes before their consequences.

    A task may end after it was reclaimed, so all that was reclaimed is read before any end. A task may be
    cancelled as soon as it is submitted, so commands come last.
    """
    for stream, entries in batch:
        if stream == RECLAIMED_STREAM and len(entries) >= count:
            return [(stream, entries)]
    return sorted(batch, key=lambda part: part[0] == COMMAND_STREAM)
