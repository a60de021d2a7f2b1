"""A server of a run: its append-only file is on, it can be killed, paused and started again on what it wrote."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import Argument, RespClient
from nexus_sched.errors import StoreError, StoreLoading
from nexus_sched.testing.servers import REDIS, ServerMissing, find_binary
from tests.chaos.disk import Disk
from tests.chaos.options import Skipped, Stuck
from tests.chaos.processes import Processes

READY_TIMEOUT_S = 20.0
POLL_S = 0.01


class Server:
    """One server. `call` speaks to it directly, past every proxy."""

    def __init__(
        self,
        processes: Processes,
        kind: str,
        directory: Path,
        options: Mapping[str, str],
        environment: Mapping[str, str],
        port: int = 0,
    ) -> None:
        try:
            binary = find_binary(kind)
        except ServerMissing as error:
            raise Skipped(str(error)) from error
        directory.mkdir(exist_ok=True, parents=True)
        self.kind = kind
        self.options = dict(options)
        self.port = port
        self.path = directory / "s.sock"
        self.disk = Disk(directory)
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.path),
            "dir": str(directory),
            "save": "",
            "appendonly": "yes",
            "logfile": "",
        } | dict(options)
        command = [binary, *(part for name, value in settings.items() for part in (f"--{name}", value))]
        self.process = processes.add(directory.name, command, environment)
        self._client = RespClient(parse_address(self.url))

    @property
    def url(self) -> str:
        """`unix://` URL."""
        return f"unix://{self.path}"

    async def start(self) -> None:
        """Start, and return once it answers. Raises `Stuck`."""
        self.path.unlink(missing_ok=True)
        self.process.start()
        give_up_at_s = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                if self.path.exists():
                    await self.call("PING")
                    return
            except (StoreLoading, StoreError):
                pass
            if not self.process.alive or time.monotonic() > give_up_at_s:
                raise Stuck(f"the server does not start: {self.process.output[-2_000:]}")
            await asyncio.sleep(POLL_S)

    def kill(self) -> bool:
        """As in a crash."""
        return self.process.kill()

    async def call(self, *command: Argument) -> Reply:
        """One command and its reply. Raises `StoreError`."""
        return await self._client.call(*command)

    async def facts(self, section: str) -> dict[str, str]:
        """A section of INFO."""
        lines = (await self.call("INFO", section)).decode().splitlines()
        return {name: value for name, _, value in (line.partition(":") for line in lines if ":" in line)}

    async def version(self) -> str:
        """Name and version."""
        facts = await self.facts("server")
        own = facts.get(f"{facts.get('server_name', REDIS)}_version")
        return f"{self.kind} {own or facts['redis_version']}"

    async def follow(self, primary: Server, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Become a replica of `primary`, and return once the link stands. Raises `Stuck`."""
        await self.call("REPLICAOF", "127.0.0.1", primary.port)
        give_up_at_s = time.monotonic() + timeout_s
        while (await self.facts("replication")).get("master_link_status") != "up":
            if time.monotonic() > give_up_at_s:
                raise Stuck(f"{self.process.name} does not follow {primary.process.name}")
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Drop the connection to it."""
        await self._client.close()


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
