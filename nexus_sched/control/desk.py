"""The desk where changes are carried out: a record in the trail, then the command, then what came of it.

Law: the record is written first. If the trail cannot be written, nothing is changed; if the process dies in between,
the trail has a record of something that was asked for and did not happen, never the other way round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from nexus_sched.client import AsyncClient
from nexus_sched.control.record import Actor, Entry, detail_of, hash_of
from nexus_sched.control.trail import Trail
from nexus_sched.errors import InvalidInput, PoolUnknown
from nexus_sched.model.command import Command, decode_command, encode_command
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.runtime.ports import SubmitterStore

State = TypeVar("State")

SHOWN_WITHIN_S = 3.0  # a picture is painted twice a second
POLL_S = 0.05


class Desk:
    """Carries out changes in one pool."""

    def __init__(self, store: SubmitterStore, client: AsyncClient, trail: Trail) -> None:
        self.store = store
        self.client = client
        self.trail = trail

    async def decide(self, actor: Actor, action: str, subject: str, before: object, command: Command) -> None:
        """Record a command, and send it. `before` is what its subject was like."""
        check_command(command)
        reason = str(getattr(command, "reason", ""))
        await self.record(actor, action, subject, reason, before, command)
        await self.send(command)

    async def send(self, command: Command) -> None:
        """Send a command whose record has been written."""
        await self.client.open()
        await self.store.command(encode_command(command))

    async def record(self, actor: Actor, action: str, subject: str, reason: str, before: object, after: object) -> None:
        """Record a change that somebody else carries out."""
        check_reason(reason)
        await self.trail.write(
            Entry(
                actor=actor,
                action=action,
                subject=subject,
                reason=reason,
                before=hash_of(before),
                after=hash_of(after),
                detail=detail_of(after),
            )
        )

    async def frame(self) -> Frame:
        """The newest picture of the pool. Raises `PoolUnknown`."""
        await self.client.open()
        blob = await self.store.frame()
        if blob is None:
            raise PoolUnknown("no scheduler has ever served this pool; start one with `nexus-sched run`")
        return decode_frame(blob)


async def until(look: Callable[[], Awaitable[State]], holds: Callable[[State], bool]) -> State:
    """What is seen as soon as it holds, or at the end of one's patience."""
    loop = asyncio.get_running_loop()
    give_up_at_s = loop.time() + SHOWN_WITHIN_S
    while not holds(seen := await look()) and loop.time() < give_up_at_s:
        await asyncio.sleep(POLL_S)
    return seen


def check_reason(reason: str) -> None:
    """Raises `InvalidInput` for a reason that says nothing."""
    if not reason.strip():
        raise InvalidInput("the reason is empty: say why, others will want to know")


def check_command(command: Command) -> None:
    """As the scheduler will check it. Raises `InvalidInput`."""
    if hasattr(command, "reason"):
        check_reason(str(command.reason))
    try:
        decode_command(encode_command(command))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise InvalidInput(f"this is out of bounds: {error}") from None
