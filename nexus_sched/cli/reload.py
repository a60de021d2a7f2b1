"""Reading the configuration again in a scheduler that runs: all of it is sound, or nothing changes.

What can take effect at once becomes an event of the journal, so that standbys and replays see it; the rest is named
in the log and waits for the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from msgspec import structs

from nexus_sched.cli.logs import set_up_logs
from nexus_sched.config.changes import changes_between, with_hot_keys
from nexus_sched.config.engine import engine_settings
from nexus_sched.errors import ConfigInvalid

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.model.settings import EngineSettings

log = structlog.get_logger("nexus_sched.scheduler")


class Reload:
    """What SIGHUP does: `reload()`.

    Parameters
    ----------
    config, settings
        What the process runs with. The names of predictors are those of `settings`: they are chosen by a command.
    read
        Reads all sources anew. Raises `ConfigInvalid`.
    apply
        Lets other settings take effect.
    remember
        Writes down what was done, and what it found.
    """

    def __init__(
        self,
        config: Config,
        settings: EngineSettings,
        read: Callable[[], Config],
        apply: Callable[[EngineSettings], None],
        remember: Callable[[str, object], None] = lambda *_: None,
    ) -> None:
        self.config = config
        self._settings = settings
        self._read = read
        self._apply = apply
        self._remember = remember

    def __call__(self) -> None:
        """Read, compare, and let take effect what can. Never raises for what is wrong with the configuration."""
        try:
            config = self._read()
        except ConfigInvalid as error:
            log.error("configuration refused, the former one stays", problems=error.problems)
            self._remember("config.refused", {"problems": error.problems})
            return
        changes = changes_between(self.config, config)
        hot = [str(change) for change in changes if change.hot]
        cold = [str(change) for change in changes if not change.hot]
        self.config = with_hot_keys(self.config, config)
        set_up_logs(self.config.logging)
        settings = structs.replace(
            engine_settings(self.config),
            predictor=self._settings.predictor,
            shadow_predictor=self._settings.shadow_predictor,
        )
        if settings != self._settings:
            self._settings = settings
            self._apply(settings)
        log.info("configuration read again", changed=hot)
        self._remember("config.reload", {"changed": hot, "at_next_start": cold})
        if cold:
            log.warning("needs a restart to take effect", changed=cold)
