"""Starting a scheduler without the tree of commands, for whose import a restart after a crash would wait (0044).

Law: what is understood here means what the tree makes of the same words, and everything else is left to the tree:
help, mistakes, abbreviations. A test holds both against each other.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nexus_sched.config.load import Loaded

COMMAND = "run"
CONFIG, SET, MODE, JSON = "--config", "--set", "--mode", "--json"
MODES = ("predictive", "shadow", "round-robin")
MODE_KEY = "scheduler.mode"
# Flags with a name of their own -> the alias of the key that they set.
NAMED = {
    "--redis-url": "redis_url",
    "--fallback-threshold": "fallback_threshold",
    "--heartbeat-timeout-ms": "heartbeat_timeout_ms",
}


class Sources:
    """Where a configuration comes from besides the environment: a file, and `(flag, key, text)` of each flag."""

    def __init__(self, config: Path | None, flags: Sequence[tuple[str, str, str]]) -> None:
        self.config = config
        self.flags = tuple(flags)

    def load(self) -> Loaded:
        """The configuration with the origin of each value. Raises `ConfigInvalid`."""
        from nexus_sched.config.load import load

        return load(self.config, os.environ, self.flags)


class Start:
    """A scheduler to be run: where its configuration comes from, and whether to say in JSON how it ended."""

    def __init__(self, sources: Sources, *, json: bool) -> None:
        self.sources = sources
        self.json = json

    def run(self) -> int:
        """Run it until it is told to stop; the exit code. Raises `NexusError`."""
        with imports():
            from nexus_sched.cli.run import run_scheduler
        return run_scheduler(lambda: self.sources.load().config, as_json=self.json)


def plain_start(tokens: Sequence[str]) -> Start | None:
    """What `run` with these options means, `None` if that is for the tree of commands to say."""
    values: dict[str, list[str]] = {flag: [] for flag in (CONFIG, SET, MODE, *NAMED)}
    as_json = False
    left = iter(tokens)
    for token in left:
        if token == JSON and not as_json:
            as_json = True
            continue
        flag, joined, value = token.partition("=")
        if not joined:
            value = next(left, "")
        if flag not in values or not value or value[0] in "-[{":
            return None
        values[flag].append(value)
    if any(len(given) > 1 for flag, given in values.items() if flag != SET) or not {*values[MODE]} <= {*MODES}:
        return None
    flags = [(flag, NAMED[flag], given[0]) for flag, given in values.items() if flag in NAMED and given]
    flags += setting_flags(values[SET]) + [(MODE, MODE_KEY, mode) for mode in values[MODE]]
    return Start(Sources(Path(values[CONFIG][0]) if values[CONFIG] else None, flags), json=as_json)


def setting_flags(settings: Sequence[str]) -> list[tuple[str, str, str]]:
    """`(flag, key, text)` of each `--set section.key=value`."""
    parts = [setting.partition("=") for setting in settings]
    return [(f"{SET} {name}", name.strip(), text.strip()) for name, _, text in parts]


@contextmanager
def imports() -> Iterator[None]:
    """Import within this, before anything else was imported: without the collector, and without rich.

    structlog imports rich if it is there, to print tracebacks in colours: 50 ms of processor time, and nobody who reads
    the log of a scheduler misses them. The collector finds nothing in modules, and takes a tenth of the time.
    """
    hidden = "rich" not in sys.modules and "structlog" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]  # how Python is told that there is no such module
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if hidden:
            del sys.modules["rich"]
        if collecting:
            gc.enable()


def spare_what_is_loaded() -> None:
    """Let the garbage collector look no more at what was imported and set up: a full pass over it takes 20 to 30 ms."""
    gc.collect()
    gc.freeze()
