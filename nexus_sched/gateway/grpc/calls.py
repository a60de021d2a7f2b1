"""What holds for every call: there is room for it, it ends in time, and its errors have codes.

gRPC's own bound on concurrent calls refuses at random under load, so the doors count themselves, and refuse at once:
who waits for a place holds memory as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

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


class NoRoom(NexusError):
    """More calls at once than the gateway takes."""

    code = "NO_ROOM"


class Doors:
    """Counts who is inside."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self.inside = 0
        self.refused = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """A place for the time of a `with`. Raises `NoRoom`."""
        if self.inside >= self._most:
            self.refused += 1
            raise NoRoom(f"there is no room for more than {self._most} {self._what} at once")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


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
