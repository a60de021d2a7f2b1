"""What holds for every call: there is room for it, it ends in time, and its errors have codes.

gRPC's own bound on concurrent calls refuses at random under load, so the doors count themselves, and refuse at once:
who waits for a place holds memory as well. Who holds a place and says nothing has to go when somebody else comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import grpc
import structlog

from nexus_sched.errors import (
    Fenced,
    Forbidden,
    InvalidInput,
    NexusError,
    PoolUnknown,
    StoreError,
    Unauthenticated,
)
from nexus_sched.proto.service import CODE_METADATA

log = structlog.get_logger("nexus_sched.gateway")

DETAIL_LENGTH_MAX = 500
SILENT_S_MIN = 0.1  # a message comes with its call; nobody has to go sooner

Message = TypeVar("Message")


class NoRoom(NexusError):
    """More calls at once than the gateway takes."""

    code = "NO_ROOM"


class Doors:
    """Counts who is inside. When all places are taken, whoever has waited longest for its first message goes."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._silent: dict[Place, None] = {}  # the one that has waited longest stands first
        self.inside = 0
        self.refused = 0

    @contextmanager
    def enter(self) -> Iterator[Place]:
        """A place for the time of a `with`. Raises `NoRoom`."""
        if self.inside >= self._most and not self._send_one_away():
            raise self.no_room()
        self.inside += 1
        place = Place(self, self._silent)
        try:
            yield place
        finally:
            self.inside -= not place.lost

    def no_room(self) -> NoRoom:
        """What somebody is told who cannot come in, or stay."""
        self.refused += 1
        return NoRoom(f"there is no room for more than {self._most} {self._what} at once")

    def _send_one_away(self) -> bool:
        place = next(iter(self._silent), None)
        if place is None or not place.go():
            return False
        self.inside -= 1
        return True


class Place:
    """Somebody inside. Whoever opens a call and says nothing may have to go for somebody else."""

    def __init__(self, doors: Doors, silent: dict[Place, None]) -> None:
        self._doors = doors
        self._silent = silent
        self._waiting: asyncio.Timeout | None = None
        self._since_s = 0.0
        self.lost = False

    async def first(self, message: Awaitable[Message]) -> Message:
        """The first message, once it is there. Raises `NoRoom` if somebody else needed the place before."""
        self._since_s = asyncio.get_running_loop().time()
        self._silent[self] = None
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await message
        except TimeoutError:
            raise self._doors.no_room() from None
        finally:
            self._silent.pop(self, None)

    def go(self) -> bool:
        """Give the place up, unless its message may still be on its way."""
        now_s = asyncio.get_running_loop().time()
        if self._waiting is None or now_s - self._since_s < SILENT_S_MIN:
            return False
        self._silent.pop(self)
        self._waiting.reschedule(now_s)
        self.lost = True
        return True


def seconds_left(context: Any, longest_s: float) -> float:
    """How long a call may take: what its client allows, at most `longest_s`."""
    left_s: float | None = context.time_remaining()
    return longest_s if left_s is None else max(0.0, min(left_s, longest_s))


STATUS: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
    (Fenced, grpc.StatusCode.ABORTED),
    (Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (PoolUnknown, grpc.StatusCode.NOT_FOUND),
    (NoRoom, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
    (NexusError, grpc.StatusCode.FAILED_PRECONDITION),
)


async def refuse(context: Any, error: Exception) -> NoReturn:
    """End a call with the status and the stable code of `error`."""
    if isinstance(error, TimeoutError):
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the call took too long")
    for kind, status in STATUS:
        if isinstance(error, kind):
            code = error.code if isinstance(error, NexusError) else "INTERNAL"
            await context.abort(status, str(error)[:DETAIL_LENGTH_MAX], ((CODE_METADATA, code),))
    log.error("call failed", error=type(error).__name__)  # its text may hold what the client sent
    await context.abort(grpc.StatusCode.INTERNAL, "the gateway made a mistake")
    raise asyncio.CancelledError  # `abort` has raised; a type checker does not know
