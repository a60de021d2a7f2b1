"""Follows the journal of each shard and sends the spans of its sampled tasks. Several gateways of a pool may do so:
whoever makes a span twice makes the same one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from nexus_sched.errors import NexusError, StoreError
from nexus_sched.gateway.part import Part
from nexus_sched.model.frame import decode_frame
from nexus_sched.model.journal import decode_turn
from nexus_sched.runtime.ports import SubmitterStore
from nexus_sched.tracing.journal import JournalSpans
from nexus_sched.tracing.sink import SpanSink

log = structlog.get_logger("nexus_sched.gateway")

READ_TURNS = 256
POLL_S = 0.25
RETRY_S = 1.0
NS_PER_S = 1e9

Shards = Callable[[], Awaitable[Mapping[int, SubmitterStore]]]


class Tracer(Part):
    """Begins with the turn that is the newest when it starts."""

    name = "tracing"

    def __init__(self, pool: str, shards: Shards, sink: SpanSink) -> None:
        self._pool = pool
        self._shards = shards
        self._sink = sink
        self._following: asyncio.Task[None] | None = None
        self._behind_s: dict[int, float] = {}

    @property
    def lag_s(self) -> float:
        """How far the shard that is followed worst is behind; 0 where all is read."""
        return max(self._behind_s.values(), default=0.0)

    @property
    def spans(self) -> int:
        """How many were made."""
        return self._sink.offered

    async def start(self) -> None:
        """Begin to follow."""
        self._following = asyncio.create_task(self._follow_all())

    async def stop(self) -> None:
        """Send what waits."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await asyncio.to_thread(self._sink.close)

    def problem(self) -> str:
        """Nothing: a gateway without spans serves as well. Metrics tell how far behind it is."""
        return ""

    async def _follow_all(self) -> None:
        while True:
            try:
                shards = await self._shards()
                break
            except StoreError:
                await asyncio.sleep(RETRY_S)
        await asyncio.gather(*(self._follow(number, store) for number, store in shards.items()))

    async def _follow(self, shard: int, store: SubmitterStore) -> None:
        spans, after = JournalSpans(self._pool, shard), -1
        while True:
            try:
                if after < 0:
                    after = await _newest(store)
                turns = await store.journal(after, READ_TURNS)
                for seq, blob in turns:
                    turn = decode_turn(blob)
                    for span in spans.take(turn):
                        self._sink.offer(span)
                    after = seq
                    self._behind_s[shard] = max(0.0, time.time() - turn.at_ns / NS_PER_S)
            except NexusError as error:
                log.warning("the journal cannot be followed", shard=shard, code=error.code)
                await asyncio.sleep(RETRY_S)
                continue
            if len(turns) < READ_TURNS:
                self._behind_s[shard] = 0.0
                await asyncio.sleep(POLL_S)


async def _newest(store: SubmitterStore) -> int:
    blob = await store.frame()
    return 0 if blob is None else decode_frame(blob).seq
