"""What a replica, one scheduler process of several, says of itself in the registry."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct


class ShardId(NamedTuple):
    """One shard of one pool."""

    pool: str
    number: int

    def __str__(self) -> str:
        return f"{self.pool}:{self.number}"


class Announcement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one replica says. It is repeated with another `beat` for as long as the process lives."""

    beat: int
    serves: dict[str, int]  # pool -> number of its shards
    leads: list[ShardId] = []
    version: str = ""  # of the package
    warm: list[tuple[ShardId, int]] = []  # shards it stands by for, and the turn that its engine has reached


encode_announcement = msgspec.msgpack.Encoder().encode
decode_announcement = msgspec.msgpack.Decoder(Announcement).decode
