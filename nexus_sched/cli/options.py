"""The flags that commands share, and the configuration they lead to."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from nexus_sched.cli.start import NAMED, SET, Sources, setting_flags

if TYPE_CHECKING:
    from nexus_sched.config.load import Loaded
    from nexus_sched.config.schema import Config

CONFIGURATION = Group("Configuration", sort_key=100)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ConfigFlags:
    """Where the configuration comes from besides the environment, and how to print."""

    config: Annotated[
        Path | None,
        Parameter(name=["--config", "-c"], group=CONFIGURATION, help="File to read instead of ./nexus.toml."),
    ] = None
    redis_url: Annotated[
        str | None, Parameter(group=CONFIGURATION, help="Server to use, such as redis://127.0.0.1:6379/0.")
    ] = None
    fallback_threshold: Annotated[
        str | None, Parameter(group=CONFIGURATION, help="Consecutive failures that switch prediction off.")
    ] = None
    heartbeat_timeout_ms: Annotated[
        str | None, Parameter(group=CONFIGURATION, help="Silence after which a worker is lost.")
    ] = None
    settings: Annotated[
        list[str],
        Parameter(
            name="--set",
            group=CONFIGURATION,
            show_default=False,
            help="Any key, as section.key=value; may be repeated.",
        ),
    ] = field(default_factory=list)
    json: Annotated[
        bool, Parameter(name="--json", show_default=False, help="Print one JSON object on standard output.")
    ] = False

    def load(self) -> Loaded:
        """The configuration with the origin of each value. Raises `ConfigInvalid`."""
        return self.load_with()

    def read(self) -> Config:
        """The configuration. Raises `ConfigInvalid`."""
        return self.load().config

    def load_with(self, *flags: tuple[str, str, str | None]) -> Loaded:
        """The configuration with further flags of one command: `(flag, key, text or None)`."""
        given = [(flag, key, text) for flag, key, text in flags if text is not None]
        return Sources(self.config, [*self._named(), *setting_flags(self.settings), *given]).load()

    def as_arguments(self) -> list[str]:
        """The same flags for the command line of another process."""
        words = [] if self.config is None else ["--config", str(self.config)]
        words += [word for flag, _, text in self._named() for word in (flag, text)]
        return [*words, *(word for setting in self.settings for word in (SET, setting))]

    def _named(self) -> list[tuple[str, str, str]]:
        texts: dict[str, str | None] = {
            "redis_url": self.redis_url,
            "fallback_threshold": self.fallback_threshold,
            "heartbeat_timeout_ms": self.heartbeat_timeout_ms,
        }
        return [(flag, alias, text) for flag, alias in NAMED.items() if (text := texts[alias]) is not None]


def operator_name(given: str | None) -> str:
    """Who decides something: as given, else the user of this process, else nobody."""
    if given is not None:
        return given
    try:
        return getpass.getuser()[:128]
    except (KeyError, OSError):  # no entry for this user, as in some containers
        return ""


NO_FLAGS = ConfigFlags()  # frozen, so one instance may be the default of all commands
