"""Servers that belong together in a run: a primary and two replicas under three Sentinels, or a cluster of six.

Each is started by `start`, tells processes its `url`, and knows who serves the shard: `primary` and `replica` now,
`promoted` after a death. What was killed comes back with `restored`, as a replica of whoever took its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from nexus_sched.adapters.redis.topology import SLOTS, slot_of
from nexus_sched.errors import StoreError
from nexus_sched.testing.servers import find_binary
from tests.chaos.options import Stuck
from tests.chaos.processes import Processes
from tests.chaos.server import POLL_S, Server, free_port

SENTINEL, CLUSTER = "sentinel", "cluster"
SERVICE = "chaos"
DATA, SENTINELS, QUORUM, PRIMARIES = 3, 3, 2, 3
DOWN_AFTER_MS = 1_500  # a busy machine must not make promotions that nobody asked for
NODE_TIMEOUT_MS = 1_000
TIMEOUT_S = 60.0


class Topology(Protocol):
    """What a stage needs of it."""

    url: str

    async def start(self) -> tuple[Server, Server]:
        """Start everything; gives the shard's primary and its replica."""

    async def promoted(self, former: Server) -> Server:
        """Wait until another than `former` serves the shard. Raises `Stuck`."""

    def promotions(self) -> int:
        """How often a replica has been promoted, by whatever those who decide have said."""

    async def restored(self, former: Server) -> None:
        """Start what was killed, and wait until it follows its successor. Raises `Stuck`."""

    async def close(self) -> None:
        """Drop the connections to them."""


class Watched:
    """A primary and two replicas under Sentinels: one is promoted, the other one confirms what is written then."""

    def __init__(self, processes: Processes, kind: str, directory: Path, options: Mapping[str, str]) -> None:
        self._data = [_server(processes, kind, directory / f"data-{number}", options) for number in range(DATA)]
        self._sentinels = [_Sentinel(processes, kind, directory / f"sentinel-{number}") for number in range(SENTINELS)]
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self._sentinels)
        self.url = f"redis+sentinel://{hosts}/{SERVICE}"

    async def start(self) -> tuple[Server, Server]:
        """Replicas that follow, and Sentinels that know all of it."""
        primary, *replicas = self._data
        await asyncio.gather(*(server.start() for server in self._data))
        for replica in replicas:
            await replica.follow(primary)
        for sentinel in self._sentinels:
            await sentinel.server.start()
            await sentinel.server.call("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", primary.port, QUORUM)
            for name, value in (("down-after-milliseconds", DOWN_AFTER_MS), ("failover-timeout", 3_000)):
                await sentinel.server.call("SENTINEL", "SET", SERVICE, name, value)
        await _until(self._is_watched, "Sentinels that know each other")
        return primary, replicas[0]

    async def promoted(self, former: Server) -> Server:
        """As the Sentinels do it; one of them has to know that it is done."""
        found: list[Server] = []

        async def is_primary() -> bool:
            for sentinel in self._sentinels:
                _, port = await sentinel.server.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                found.extend(each for each in self._data if each.port == int(port) and each is not former)
            return bool(found)

        await _until(is_primary, "a promotion")
        return found[0]

    def promotions(self) -> int:
        """By the Sentinel that has seen most of them."""
        return max(sentinel.server.process.output.count("+switch-master") for sentinel in self._sentinels)

    async def restored(self, former: Server) -> None:
        """The Sentinels make it a replica."""
        await former.start()
        await _until(lambda: _follows(former), "a replica again")
        await _until(self._is_watched, "Sentinels that know the replica again")

    async def close(self) -> None:
        """Of all of them."""
        for server in (*self._data, *(sentinel.server for sentinel in self._sentinels)):
            await server.close()

    async def _is_watched(self) -> bool:
        for sentinel in self._sentinels:
            flat = await sentinel.server.call("SENTINEL", "MASTER", SERVICE)
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            if (int(fields[b"num-other-sentinels"]), fields[b"flags"]) != (SENTINELS - 1, b"master"):
                return False
            rows = await sentinel.server.call("SENTINEL", "REPLICAS", SERVICE)
            if [dict(zip(row[::2], row[1::2], strict=True))[b"flags"] for row in rows] != [b"slave"] * (DATA - 1):
                return False
        return True


class _Sentinel:
    """One Sentinel: a server that keeps what it knows in its own configuration."""

    def __init__(self, processes: Processes, kind: str, directory: Path) -> None:
        self.port = free_port()
        directory.mkdir()
        file = directory / "sentinel.conf"
        file.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {directory}\nunixsocket {directory / 's.sock'}\n")
        self.server = Server(processes, kind, directory, {}, {}, self.port)
        self.server.process.command = [find_binary(kind), str(file), "--sentinel"]


class Clustered:
    """Three primaries and their replicas; the shard is on one of them."""

    def __init__(
        self, processes: Processes, kind: str, directory: Path, options: Mapping[str, str], key: bytes
    ) -> None:
        self._slot = slot_of(key)
        self._nodes = [
            _server(
                processes,
                kind,
                directory / f"node-{number}",
                {
                    **options,
                    "cluster-enabled": "yes",
                    "cluster-port": str(free_port()),
                    "cluster-node-timeout": str(NODE_TIMEOUT_MS),
                    "cluster-replica-validity-factor": "0",
                },
            )
            for number in range(2 * PRIMARIES)
        ]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self._nodes[:PRIMARIES])

    async def start(self) -> tuple[Server, Server]:
        """Slots, acquaintances, replicas."""
        await asyncio.gather(*(node.start() for node in self._nodes))
        primaries, share = self._nodes[:PRIMARIES], SLOTS // PRIMARIES + 1
        for number, node in enumerate(primaries):
            await node.call("CLUSTER", "ADDSLOTSRANGE", number * share, min((number + 1) * share, SLOTS) - 1)
            await node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self._nodes[1:]:
            await self._nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, node.options["cluster-port"])
        await _until(self._is_known, "nodes that know each other")
        for primary, replica in zip(primaries, self._nodes[PRIMARIES:], strict=True):
            await replica.call("CLUSTER", "REPLICATE", await primary.call("CLUSTER", "MYID"))
        await _until(self._is_whole, "a cluster")
        number = self._slot // share
        return self._nodes[number], self._nodes[PRIMARIES + number]

    async def promoted(self, former: Server) -> Server:
        """As the other primaries elect it."""
        found: list[Server] = []

        async def is_owned() -> bool:
            asked = next(node for node in self._nodes if node is not former)
            for first, last, owner, *_ in await asked.call("CLUSTER", "SLOTS"):
                if first <= self._slot <= last and owner[1] != former.port:
                    found.append(next(node for node in self._nodes if node.port == owner[1]))
            return bool(found) and (await found[-1].facts("replication")).get("role") == "master"

        await _until(is_owned, "a promotion")
        return found[-1]

    def promotions(self) -> int:
        """Elections that a replica has won."""
        return sum(node.process.output.count("Failover election won") for node in self._nodes)

    async def restored(self, former: Server) -> None:
        """It learns from the others that it is a replica."""
        await former.start()
        await _until(lambda: _follows(former), "a replica again")

    async def close(self) -> None:
        """Of all nodes."""
        for node in self._nodes:
            await node.close()

    async def _is_known(self) -> bool:
        infos = [await node.call("CLUSTER", "INFO") for node in self._nodes]
        return all(f"cluster_known_nodes:{len(self._nodes)}".encode() in info for info in infos)

    async def _is_whole(self) -> bool:
        for node in self._nodes:
            rows = await node.call("CLUSTER", "SLOTS")
            if b"cluster_state:ok" not in await node.call("CLUSTER", "INFO") or any(len(row) != 4 for row in rows):
                return False
        return all([await _follows(node) for node in self._nodes[PRIMARIES:]])


def _server(processes: Processes, kind: str, directory: Path, options: Mapping[str, str]) -> Server:
    return Server(processes, kind, directory, {**options, "repl-diskless-sync-delay": "0"}, {}, free_port())


async def _follows(server: Server) -> bool:
    facts = await server.facts("replication")
    return (facts.get("role"), facts.get("master_link_status")) == ("slave", "up")


async def _until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while True:
        with contextlib.suppress(StoreError):
            if await holds():
                return
        if time.monotonic() > give_up_at_s:
            raise Stuck(f"{what}: not within {TIMEOUT_S:g} s")
        await asyncio.sleep(POLL_S)
