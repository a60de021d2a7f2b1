"""In which condition a store is, as whoever leads a shard on it sees it."""

from __future__ import annotations

from msgspec import Struct


class StoreHealth(Struct, frozen=True):
    """How the server does what was promised; sentences for people."""

    level: str = ""  # of durability, as it is promised; empty: nothing is
    gap: str = ""  # why the server does not keep it
    alarms: tuple[str, ...] = ()  # what endangers tasks now, with the remedy


class History(Struct, frozen=True):
    """Whose writes a store holds: another id means another server, or one that was started again. Empty: unknown."""

    was: str = ""  # when the shard was led before
    now: str = ""
