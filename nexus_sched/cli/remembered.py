"""What a scheduler did with its configuration, in the audit trail: written beside it, so that no decision waits."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import structlog

from nexus_sched.errors import NexusError

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.control.trail import Trail

log = structlog.get_logger("nexus_sched.scheduler")


class Remembered:
    """Writes records one after the other. What cannot be written is told in the log."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._trail: Trail | None = None  # most schedulers never need one
        self._writing: set[asyncio.Task[None]] = set()

    def __call__(self, action: str, what: object) -> None:
        """Let `action` be written, with what it found."""
        task = asyncio.create_task(self._write(action, what))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Let what was begun be written, and let go of the connection."""
        await asyncio.gather(*self._writing)
        if self._trail is not None:
            await self._trail.close()

    async def _write(self, action: str, what: object) -> None:
        from nexus_sched.cli.desk import audit_trail
        from nexus_sched.cli.options import operator_name
        from nexus_sched.control.record import Actor, Entry, detail_of, hash_of

        try:
            if self._trail is None:
                self._trail = audit_trail(self._config)
            entry = Entry(
                actor=Actor(operator_name(None), f"scheduler {socket.gethostname()}"),
                action=action,
                subject="",
                reason="SIGHUP, or asked for by a command",
                before="",
                after=hash_of(what),
                detail=detail_of(what),
            )
            await self._trail.write(entry)
        except NexusError as error:
            log.warning("a change of the configuration is not in the audit trail", code=error.code, error=str(error))
