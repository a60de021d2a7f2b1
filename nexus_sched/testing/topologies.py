"""Several servers that belong together, for tests: a primary with a replica under three Sentinels, and a cluster.

Law: as in `servers`: loopback only, each process is ended by its own handle, nothing is left behind. All of them
notice a death within half a second or a second, which is much too nervous for anything but a test.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import Argument, RespClient
from nexus_sched.adapters.redis.topology import SLOTS
from nexus_sched.errors import StoreError
from nexus_sched.testing.servers import VALKEY, TestServer, free_port

SERVICE = "nexus"
SENTINELS, QUORUM = 3, 2
PRIMARIES = 3
DOWN_AFTER_MS = 500
NODE_TIMEOUT_MS = 1_000
FORM_TIMEOUT_S = 20.0
POLL_S = 0.05


async def ask(server: TestServer, *command: Argument) -> Reply:
    """One command over a connection of its own. Raises its `StoreError`."""
    client = RespClient(parse_address(server.url))
    try:
        return await client.call(*command)
    finally:
        await client.close()


async def facts_of(server: TestServer, section: str) -> dict[str, str]:
    """A section of INFO."""
    lines = bytes(await ask(server, "INFO", section)).decode().splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


async def until(holds: Callable[[], Awaitable[bool]], what: str, timeout_s: float = FORM_TIMEOUT_S) -> None:
    """Wait until `holds`; errors of a store count as no. Raises `TimeoutError`."""
    give_up_at_s = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(StoreError):
            if await holds():
                return
        if time.monotonic() > give_up_at_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        await asyncio.sleep(POLL_S)


class _Servers:
    """Processes that are started and ended together."""

    def __init__(self) -> None:
        self.servers: list[TestServer] = []

    async def _start(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in self.servers))

    async def _form(self) -> None:
        raise AssertionError("each topology forms in its own way")

    async def __aenter__(self) -> Self:
        try:
            await self._form()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End them all and remove what they wrote."""
        for server in self.servers:
            server.close()


class SentinelSet(_Servers):
    """A primary, its replica, and three Sentinels that promote it half a second after the primary's death."""

    def __init__(self, kind: str = VALKEY, password: str = "", **options: str) -> None:
        super().__init__()
        settings = {"repl-diskless-sync-delay": "0"}
        if password:
            settings |= {"requirepass": password, "masterauth": password}
        self.password = password
        self.data = [TestServer(kind, append_only=True, tcp=True, options=settings | options) for _ in range(2)]
        self.sentinels = [TestServer(kind, tcp=True, sentinel=True) for _ in range(SENTINELS)]
        self.servers = [*self.data, *self.sentinels]

    @property
    def url(self) -> str:
        """What a process is told."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        login = f":{self.password}@" if self.password else ""
        return f"redis+sentinel://{login}{hosts}/{SERVICE}"

    async def _form(self) -> None:
        await self._start()
        await self.ask(self.data[1], "REPLICAOF", "127.0.0.1", self.data[0].port)
        await until(self._is_linked, "a replica")
        for sentinel in self.sentinels:
            await ask(sentinel, "SENTINEL", "MONITOR", SERVICE, "127.0.0.1", self.data[0].port, QUORUM)
            settings = {"down-after-milliseconds": DOWN_AFTER_MS, "failover-timeout": 3_000}
            for name, value in settings.items() | ({("auth-pass", self.password)} if self.password else set()):
                await ask(sentinel, "SENTINEL", "SET", SERVICE, name, value)
        await until(self._is_watched, "three Sentinels that know each other and the replica")

    async def ask(self, server: TestServer, *command: Argument) -> Reply:
        """One command, past the Sentinels."""
        login = f":{self.password}@" if self.password else ""
        client = RespClient(parse_address(server.url.replace("unix://", f"unix://{login}")))
        try:
            return await client.call(*command)
        finally:
            await client.close()

    async def primary(self) -> TestServer:
        """Whom the first Sentinel names."""
        found = await ask(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self.data if server.port == int(found[1]))

    async def promoted(self, former: TestServer) -> TestServer:
        """Wait until another than `former` is the primary."""

        async def is_promoted() -> bool:
            return await self.primary() is not former and b"role:master" in await self.ask(
                await self.primary(), "INFO", "replication"
            )

        await until(is_promoted, "a promotion")
        return await self.primary()

    async def _is_linked(self) -> bool:
        return b"master_link_status:up" in await self.ask(self.data[1], "INFO", "replication")

    async def _is_watched(self) -> bool:
        for sentinel in self.sentinels:
            flat = await ask(sentinel, "SENTINEL", "MASTER", SERVICE)
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            known = int(fields[b"num-other-sentinels"]), int(fields[b"num-slaves"])
            if known != (SENTINELS - 1, 1) or fields[b"flags"] != b"master":
                return False
        return True


class Cluster(_Servers):
    """Three primaries that share the slots, each with a replica if that is wanted."""

    def __init__(self, kind: str = VALKEY, *, replicas: int = PRIMARIES, **options: str) -> None:
        super().__init__()
        self.primaries = [self._node(kind, options) for _ in range(PRIMARIES)]
        self.replicas = [self._node(kind, options) for _ in range(replicas)]
        self.servers = [*self.primaries, *self.replicas]

    def _node(self, kind: str, options: dict[str, str]) -> TestServer:
        settings = {
            "cluster-enabled": "yes",
            "cluster-port": str(free_port()),
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
        }
        return TestServer(kind, append_only=True, tcp=True, options=settings | options)

    @property
    def url(self) -> str:
        """What a process is told: two of the nodes, the others are found."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.primaries[:2])

    async def _form(self) -> None:
        await self._start()
        share = SLOTS // PRIMARIES + 1
        for number, node in enumerate(self.primaries):
            last = min((number + 1) * share, SLOTS) - 1
            await ask(node, "CLUSTER", "ADDSLOTSRANGE", number * share, last)
            await ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.servers[1:]:
            await ask(self.servers[0], "CLUSTER", "MEET", "127.0.0.1", node.port, node.option("cluster-port"))
        await until(self._is_known, "nodes that know each other")
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            await ask(replica, "CLUSTER", "REPLICATE", await self.id_of(primary))
        await until(self._is_whole, "a cluster with a replica for each primary")

    async def id_of(self, node: TestServer) -> str:
        """The name of a node in its cluster."""
        return bytes(await ask(node, "CLUSTER", "MYID")).decode()

    async def owner(self, slot: int, asked: TestServer) -> TestServer:
        """The primary of a slot, as the node `asked` has it."""
        for first, last, primary, *_ in await ask(asked, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.servers if node.port == primary[1])
        raise StoreError(f"nobody owns slot {slot}")

    async def move(self, slot: int, to: TestServer, keys_at_once: int = 10, pause_s: float = 0.0) -> None:
        """Take a slot to another primary, key by key, while it is in use."""
        origin = await self.owner(slot, to)
        await ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", await self.id_of(origin))
        await ask(origin, "CLUSTER", "SETSLOT", slot, "MIGRATING", await self.id_of(to))
        while keys := await ask(origin, "CLUSTER", "GETKEYSINSLOT", slot, keys_at_once):
            await ask(origin, "MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "KEYS", *keys)
            await asyncio.sleep(pause_s)
        for node in (to, origin, *(other for other in self.primaries if other not in (to, origin))):
            await ask(node, "CLUSTER", "SETSLOT", slot, "NODE", await self.id_of(to))

    async def _is_known(self) -> bool:
        for node in self.servers:
            if f"cluster_known_nodes:{len(self.servers)}".encode() not in await ask(node, "CLUSTER", "INFO"):
                return False
        return True

    async def _is_whole(self) -> bool:
        for node in self.servers:
            rows = await ask(node, "CLUSTER", "SLOTS")
            if b"cluster_state:ok" not in await ask(node, "CLUSTER", "INFO") or sum(
                len(row) - 3 for row in rows
            ) != len(self.replicas):
                return False
        return all([(await facts_of(node, "replication")).get("master_link_status") == "up" for node in self.replicas])
