"""Reading the configuration again in a gateway that runs, by SIGHUP or API: all of it is sound, or nothing changes.

Either way the audit trail has a record. The gateway takes over what is hot of it, and tells the scheduler, by a command
in the ordered log, to read its own.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from nexus_sched.config.changes import changes_between, with_hot_keys
from nexus_sched.config.describe import sections
from nexus_sched.config.schema import Config
from nexus_sched.config.values import mask_url
from nexus_sched.control.desk import Desk
from nexus_sched.control.record import Actor
from nexus_sched.errors import ConfigInvalid
from nexus_sched.model.command import ReloadConfiguration

log = structlog.get_logger("nexus_sched.gateway")


class Reloading:
    """Holds the configuration in force. `listeners` are called with every other one."""

    def __init__(self, config: Config, read: Callable[[], Config], desk: Desk) -> None:
        self.config = config
        self.listeners: list[Callable[[Config], None]] = []
        self._read = read
        self._desk = desk

    async def reload(self, actor: Actor, reason: str, *, dry_run: bool = False) -> tuple[list[str], list[str]]:
        """What has changed, and what of it waits for the next start. After `ConfigInvalid` nothing has changed."""
        before = self.written()
        try:
            config = self._read()
        except ConfigInvalid as error:
            log.error("configuration refused, the former one stays", problems=error.problems)
            if not dry_run:
                await self._desk.record(actor, "config.refused", "", reason, before, {"problems": error.problems})
            raise
        changes = changes_between(self.config, config)
        hot = [str(change) for change in changes if change.hot]
        cold = [str(change) for change in changes if not change.hot]
        if dry_run:
            return hot, cold
        after = with_hot_keys(self.config, config)
        command = ReloadConfiguration(reason, actor.name)
        await self._desk.record(actor, "config.reload", "", reason, before, {"changed": hot, "at_next_start": cold})
        self.config = after
        for listener in self.listeners:
            listener(after)
        await self._desk.send(command)
        log.info("configuration read again", changed=hot)
        if cold:
            log.warning("needs a restart to take effect", changed=cold)
        return hot, cold

    def written(self) -> dict[str, str]:
        """Every key as one would write it; passwords are masked."""
        found: dict[str, str] = {}
        for section in sections():
            table = getattr(self.config, section.attribute)
            if section.repeated or isinstance(table, dict):
                found[section.name] = str(len(table))
                continue
            for key in section.keys:
                value = getattr(table, key.attribute)
                found[key.path] = key.write(mask_url(value) if key.secret and isinstance(value, str) else value)
        return found
