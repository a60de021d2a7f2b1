"""Where things go that nobody is asked about: the shard of a task, and the order in which shards suit a worker.

The shard of a task is part of the protocol (docs/reference/protocol.md): CRC-32 of its id, modulo the number of shards.
"""

from __future__ import annotations

import zlib
from hashlib import blake2b


def shard_of(name: str, count: int) -> int:
    """The shard, of `count`, to which a task of this id goes, or which follows a stream of this name."""
    return zlib.crc32(name.encode()) % count


def order_for(worker: str, count: int) -> list[int]:
    """All `count` shards in the order in which a worker prefers them, where nothing else decides."""
    return sorted(range(count), key=lambda shard: weight(worker, str(shard)), reverse=True)


def weight(*names: str) -> int:
    """How well names suit each other: a number of 64 bits that looks random and never changes.

    Source: rendezvous hashing, Thaler and Ravishankar, 1998.
    """
    return int.from_bytes(blake2b("\0".join(names).encode(), digest_size=8).digest(), "big")
