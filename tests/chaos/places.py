"""Where every task is, by what the store holds: read key by key, with none of the scheduler's code.

At rest nothing may be left in a queue or an inbox, no record may be open, no payload may have survived its task,
and the account of bytes must be empty.
"""

from __future__ import annotations

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.errors import StoreError
from tests.chaos.server import Server

SCAN_COUNT = 1_000
OPEN = (b"Q", b"R")
DEAD = b"D"


async def is_at_rest(server: Server, keys: ShardKeys) -> bool:
    """Whether queues, inputs and inboxes are empty; cheap enough to be asked again and again."""
    try:
        streams = [key for key in await _keys(server, keys) if _is_stream(key, keys)]
        return not any([await server.call("XLEN", key) for key in streams])
    except StoreError:
        return False


async def findings(server: Server, keys: ShardKeys) -> list[str]:
    """What is not in order on a shard that should be at rest."""
    found: list[str] = []
    states: dict[bytes, bytes] = {}
    payloads: list[bytes] = []
    for key in await _keys(server, keys):
        kind, _, name = key[len(keys.prefix) + 1 :].partition(b":")
        if _is_stream(key, keys) and (left := await server.call("XLEN", key)):
            found.append(f"{left} entries are left in {key.decode()}")
        elif kind == b"t":
            states[name] = await server.call("HGET", key, "s")
        elif kind == b"p":
            payloads.append(name)
    found += [f"task {name.decode()} is {states[name].decode()} at rest" for name in states if states[name] in OPEN]
    for name in payloads:
        if states.get(name) != DEAD:
            found.append(f"the payload of {name.decode()} outlived its task")
    if (account := int(await server.call("HGET", keys.meta, "bytes") or 0)) != 0:
        found.append(f"the account of payload bytes is {account} at rest")
    return found


def _is_stream(key: bytes, keys: ShardKeys) -> bool:
    suffix = key[len(keys.prefix) + 1 :]
    return suffix.startswith((b"q:", b"i:")) or suffix in (b"res", b"cmd")


async def _keys(server: Server, keys: ShardKeys) -> list[bytes]:
    cursor, found = b"0", set[bytes]()
    while True:
        cursor, page = await server.call("SCAN", cursor, "MATCH", keys.prefix + b":*", "COUNT", SCAN_COUNT)
        found.update(page)
        if cursor == b"0":
            return sorted(found)
