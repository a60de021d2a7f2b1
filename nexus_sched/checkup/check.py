"""One check: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Level(Enum):
    """How it is. Tasks can be lost, or none are taken, where something fails; a warning is for whoever decides."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(Struct, frozen=True):
    """What one check says. `fix` is empty if nothing has to be done; `mend` names what `--fix` may do by itself."""

    name: str
    level: Level
    sentence: str
    fix: str = ""
    mend: str = ""


def ok(name: str, sentence: str) -> Check:
    """All is well."""
    return Check(name, Level.OK, sentence)


def warn(name: str, sentence: str, fix: str, mend: str = "") -> Check:
    """It works, but somebody should know."""
    return Check(name, Level.WARN, sentence, fix, mend)


def fail(name: str, sentence: str, fix: str, mend: str = "") -> Check:
    """It must not stay so."""
    return Check(name, Level.FAIL, sentence, fix, mend)
