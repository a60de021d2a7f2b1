"""Processes that end with the run, whatever ends it.

Laws of this file:
  1. A process is signalled by its own handle, and only while it has not been waited for: its id cannot have
     gone to somebody else.
  2. It leads a session of its own, so that a Ctrl-C reaches the nemesis only, which stops the rest; where the kernel
     can do it, it dies with the nemesis.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from nexus_sched.demo.processes import inherited_environment, last_words, parent_death_hook, signal_group
from tests.chaos.options import Stuck

POLL_S = 0.005
EXIT_TIMEOUT_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One program and its log. `start` starts it, again and again if need be, with what `environment` then holds."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = command
        self.environment = {**inherited_environment(), "PYTHONPATH": str(ROOT), **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.paused = False
        self.pids: list[int] = []  # of all its lives

    def start(self) -> None:
        """Run it; it must not be running."""
        assert not self.alive, f"{self.name} runs already"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self._log.parent,
                start_new_session=True,
                preexec_fn=parent_death_hook(),  # noqa: PLW1509 - one system call, safe after fork
            )
        self.pids.append(self._process.pid)

    @property
    def pid(self) -> int:
        """Of its newest life."""
        return self.pids[-1]

    @property
    def alive(self) -> bool:
        """Whether it runs, or is paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Exit code of its last life, negative for a signal."""
        return None if self._process is None else self._process.poll()

    @property
    def output(self) -> str:
        """What it has printed in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def signal(self, number: signal.Signals) -> bool:
        """Signal it and what it has started. `False` if it is gone."""
        process = self._process
        if process is None or process.poll() is not None:
            return False
        signal_group(process, number)
        self.paused = number == signal.SIGSTOP or (self.paused and number != signal.SIGCONT)
        return True

    def kill(self) -> bool:
        """SIGKILL, and wait for it. `False` if it was gone already."""
        killed = self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self.paused = False
        return killed

    async def ended(self, timeout_s: float = EXIT_TIMEOUT_S) -> int:
        """Its exit code, once it has ended by itself. Raises `Stuck`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.alive:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise Stuck(f"{self.name} does not end:\n{last_words(self._log)}") from None
        assert self.code is not None
        return self.code

    async def terminate(self) -> int:
        """SIGTERM, and wait for the end that it chooses."""
        self.signal(signal.SIGTERM)
        return await self.ended()


class Processes:
    """All processes of a run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._all: list[Process] = []

    def add(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        """A process that is not started yet; what it prints goes to `<name>.log`."""
        process = Process(name, command, environment or {}, self._directory / f"{name}.log")
        self._all.append(process)
        return process

    def close(self) -> None:
        """Kill whatever still runs."""
        for process in reversed(self._all):
            process.kill()
