"""The desk of the command line: where it carries out what people change, and in whose name."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from nexus_sched.cli.options import operator_name

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.control.desk import Desk
    from nexus_sched.control.record import Actor as Acting
    from nexus_sched.control.trail import Trail

Made = TypeVar("Made")

Reason = Annotated[str, Parameter(help="Why; it is kept in the audit trail and shown to others.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", help="Only say what it would do.", show_default=False)]
Actor = Annotated[str | None, Parameter(help="Who decides it; your user name if not given.", show_default=False)]

NO_REASON = "none given"  # of commands whose reason may be left out


def acting(actor: str | None) -> Acting:
    """Who changes something by this command line."""
    from nexus_sched.control.record import Actor as Person

    return Person(operator_name(actor), f"cli {socket.gethostname()}")


@contextlib.asynccontextmanager
async def open_desk(config: Config) -> AsyncIterator[Desk]:
    """A desk for the pool of the configuration; what it connected to is let go at the end."""
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient
    from nexus_sched.control.desk import Desk

    store, trail = submitter_store(config), audit_trail(config)
    client = AsyncClient(store=store)
    try:
        yield Desk(store, client, trail)
    finally:
        await trail.close()
        await client.close()


def audit_trail(config: Config) -> Trail:
    """The audit trail of the pool. Raises `AuditKeyInvalid` for a key that cannot be used."""
    from nexus_sched.cli.stores import audit_store
    from nexus_sched.control.signing import read_signer
    from nexus_sched.control.trail import Trail

    return Trail(audit_store(config), config.audit.records_max, read_signer(config.audit.key_file))


def at_desk(config: Config, act: Callable[[Desk], Awaitable[Made]]) -> Made:
    """Do something at the desk, and wait for it."""

    async def run() -> Made:
        async with open_desk(config) as desk:
            return await act(desk)

    return asyncio.run(run())
