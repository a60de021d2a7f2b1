"""The pool as it changes: one frame for all viewers, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from msgspec import Struct

from nexus_sched.errors import Busy
from nexus_sched.gateway.http.routing import FIND, problems
from nexus_sched.gateway.http.services import Services
from nexus_sched.model.frame import Frame

VIEWERS_MAX = 2_000
KEEP_ALIVE_S = 15.0


class StreamFrame(Struct, frozen=True, kw_only=True):
    """The picture of a moment, small enough to be sent twice a second to everybody.

    `cells` has two characters for each worker, in the scheduler's own order: how it stands (`a`ccepting, `d`raining,
    `c`ordoned, `b`roken, `s`uspect, `g`one), and how many tenths of its slots are in use, 0 to 9 (`+` for more than
    all).
    """

    seq: int
    at_ms: int
    mode: str
    breaker: str
    paused: bool
    queued: int
    in_flight: int
    queued_predicted_ms: int
    drain_tasks_s: float
    workers_live: int
    workers_accepting: int
    finished: int
    failed: int
    dead: int
    decision_p99_us: float
    cells: str


class Viewers:
    """Everybody who looks on. A frame is encoded once, whoever many they are; who is slow misses frames."""

    def __init__(self, services: Services) -> None:
        self._newest = b""
        self._changed = asyncio.Event()
        self.count = 0
        services.picture.listen(self._show)

    def _show(self, frame: Frame) -> None:
        self._newest = event_of(frame)
        self._changed.set()
        self._changed = asyncio.Event()

    async def look_on(self) -> AsyncIterator[bytes]:
        """The newest frame, and every further one that there is time for."""
        self.count += 1
        try:
            if self._newest:
                yield self._newest
            while True:
                try:
                    await asyncio.wait_for(self._changed.wait(), KEEP_ALIVE_S)
                    yield self._newest
                except TimeoutError:
                    yield b": nothing new\n\n"
        finally:
            self.count -= 1


class StreamRoutes:
    """`/v1/stream`."""

    def __init__(self, services: Services) -> None:
        self._viewers = Viewers(services)

    def routes(self) -> list[HTTPRouteHandler]:
        """The handler."""
        return [
            get("/v1/stream", operation_id="stream", media_type="text/event-stream", responses=problems(FIND))(
                self.stream
            )
        ]

    async def stream(self) -> Stream:
        """The pool as it changes: an event `frame` twice a second, a `StreamFrame` as JSON."""
        if self._viewers.count >= VIEWERS_MAX:
            raise Busy(f"{VIEWERS_MAX} viewers look on already")
        return Stream(self._viewers.look_on(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def event_of(frame: Frame) -> bytes:
    """A frame as a server-sent event."""
    counters = frame.counters
    picture = StreamFrame(
        seq=frame.seq,
        at_ms=frame.at_ms,
        mode=frame.mode,
        breaker=frame.breaker,
        paused="" in frame.paused,
        queued=frame.queued,
        in_flight=frame.in_flight,
        queued_predicted_ms=round(frame.queued_predicted_ms),
        drain_tasks_s=round(frame.drain_tasks_s, 1),
        workers_live=frame.workers_live,
        workers_accepting=frame.workers_accepting,
        finished=counters.get("finished", 0),
        failed=counters.get("failed", 0),
        dead=counters.get("dead", 0),
        decision_p99_us=round(frame.decision_us.p99, 1),
        cells=frame.cells,
    )
    return b"event: frame\nid: %d\ndata: %b\n\n" % (frame.seq, msgspec.json.encode(picture))
