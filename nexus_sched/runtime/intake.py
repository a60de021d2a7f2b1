"""The queue between reading and deciding: batches of events, each with the cursor behind it.

Bounded: the reader waits when the engine is behind, so memory does not grow with the backlog of the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from nexus_sched.errors import StoreError
from nexus_sched.model.events import AnyEvent
from nexus_sched.runtime.inputs import events_of
from nexus_sched.runtime.ports import LeaderStore

READ_COUNT = 256  # entries of one stream in one read
READ_BLOCK_MS = 1_000
WAITING_EVENTS_MAX = 2_048
TURN_EVENTS_MAX = 512


class Batch(NamedTuple):
    """Events of one stream and the last entry they came from; both empty for the shell's own events."""

    events: list[AnyEvent]
    stream: str
    cursor: str


class Inputs:
    """What waits to be decided. One reader fills it, one turn loop empties it."""

    def __init__(self, store: LeaderStore, cursors: dict[str, str], *, one_by_one: bool = False) -> None:
        self._store = store
        self._read_count = 1 if one_by_one else READ_COUNT
        self._turn_events_max = 1 if one_by_one else TURN_EVENTS_MAX
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
        while batches and (not events or len(events) + len(batches[0].events) <= self._turn_events_max):
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
            for stream, entries in await self._store.read(cursors, self._read_count, READ_BLOCK_MS):
                cursor = entries[-1][0]
                if not isinstance(cursor, bytes):
                    raise StoreError(f"the store gave an entry of {stream} without an id")
                cursors[stream] = cursor.decode("ascii")
                self.feed(events_of(stream, entries), stream, cursors[stream])
