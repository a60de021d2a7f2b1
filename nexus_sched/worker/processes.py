"""Child processes for blocking functions that must be possible to end by force.

A child is started when no idle one is left, is kept for the next call, and is replaced after it was
killed or died. Never more of them than slots, because every call holds a slot until its child is free
or dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from nexus_sched.errors import NexusError
from nexus_sched.model.outcome import Outcome
from nexus_sched.worker.calls import Ending
from nexus_sched.worker.child import HEAD_BYTES, frame
from nexus_sched.worker.functions import TaskFunction

START_TIMEOUT_S = 60.0  # an interpreter and its imports, on a machine under full load

# The child sees modules exactly as the worker does, without a variable that its own children would inherit.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from nexus_sched.worker.child import main; main(int(sys.argv[1]), json.loads(sys.argv[3]))"
)


class ChildDied(NexusError):
    """A child process ended in the middle of a call, or could not be started."""

    code = "CHILD_DIED"


class Child:
    """The worker's end of one child process."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, places: dict[str, tuple[str, str]]) -> Child:
        """A new child that is ready for calls; raises `ChildDied` if it does not come up."""
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = (str(theirs.fileno()), json.dumps(sys.path), json.dumps(places))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _PROGRAM, *arguments, stdin=asyncio.subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(process, reader, writer)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await child._receive()
        except BaseException as error:
            await child.end()
            if isinstance(error, TimeoutError):
                raise ChildDied(f"a child process was not ready after {START_TIMEOUT_S:.0f} s") from error
            raise
        return child

    async def call(
        self, name: str, codec: str, payload: bytes, task: tuple[str, int, float | None, str | None]
    ) -> Ending:
        """Run one task in the child; raises `ChildDied` if it ends in the middle of it."""
        try:
            self._writer.write(frame("run", name, codec, payload, *task))
            await self._writer.drain()
            _, outcome, run_ms, result, text, cpu_ms, memory_bytes = await self._receive()
        except OSError as error:
            raise ChildDied(await self._obituary()) from error
        return Ending(Outcome(outcome), run_ms, result, text, cpu_ms, memory_bytes)

    def stop(self, task_id: str, attempt: int) -> None:
        """Ask this call to end; ignored if it is over."""
        self._writer.write(frame("stop", task_id, attempt))

    def kill(self) -> None:
        """End the process by force, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self.kill()
        self._writer.close()
        await self._process.wait()

    async def _receive(self) -> list[Any]:
        try:
            size = int.from_bytes(await self._reader.readexactly(HEAD_BYTES), "big")
            message: list[Any] = msgspec.msgpack.decode(await self._reader.readexactly(size))
        except asyncio.IncompleteReadError as error:
            raise ChildDied(await self._obituary()) from error
        return message

    async def _obituary(self) -> str:
        code = await self._process.wait()
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"


class ProcessPool:
    """All children of one worker."""

    def __init__(self, functions: Iterable[TaskFunction]) -> None:
        self._places = {
            function.name: (function.call.__module__, function.call.__qualname__)
            for function in functions
            if function.run_in == "process"
        }
        self._idle: list[Child] = []

    async def take(self) -> Child:
        """An idle child, else a new one."""
        return self._idle.pop() if self._idle else await Child.start(self._places)

    def give_back(self, child: Child) -> None:
        """Keep a child for the next call."""
        self._idle.append(child)

    async def close(self) -> None:
        """End all idle children."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.end() for child in idle))
