"""A child process that is started again when it dies, and ends with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog

from nexus_sched.demo.processes import parent_death_hook

log = structlog.get_logger("nexus_sched.scheduler")

RESTART_S_MIN = 0.5
RESTART_S_MAX = 30.0
STEADY_S = 30.0  # a child that has lived so long starts again without delay
STOP_S = 5.0
USAGE_CODES = (2, 3)  # a mistake that starting again does not mend


class Supervised:
    """While the block runs, so does the command."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            self._send(signal.SIGKILL)
            await process.wait()

    def hang_up(self) -> None:
        """Pass SIGHUP on."""
        self._send(signal.SIGHUP)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = RESTART_S_MIN
        while True:
            began_s = loop.time()
            self._process = await asyncio.create_subprocess_exec(*self._command, preexec_fn=parent_death_hook())
            code = await self._process.wait()
            if code in USAGE_CODES:
                log.error("does not start", part=self._name, exit_code=code)
                return
            if loop.time() - began_s > STEADY_S:
                pause_s = RESTART_S_MIN
            log.warning("ended, and is started again", part=self._name, exit_code=code, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_S_MAX)
