"""Real processes of the command line: started here, signalled by their own handle, and gone after the test."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.canaries import secrets_in

ROOT = Path(__file__).resolve().parents[2]
EXIT_TIMEOUT_S = 20.0
POLL_S = 0.005


class Program:
    """One `nexus-sched` command."""

    def __init__(self, log: Path, arguments: tuple[str, ...]) -> None:
        self._log = log
        self._usage: resource.struct_rusage | None = None
        self.code: int | None = None  # exit code, negative for a signal, `None` while it runs
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS__")}
        environment["PYTHONPATH"] = str(ROOT)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nexus_sched", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=log.parent,
            )
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def cpu_s(self) -> float:
        """Processor time that it took; only once it has ended."""
        assert self._usage is not None, "it has not ended"
        return self._usage.ru_utime + self._usage.ru_stime

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """Let it do nothing any more, without ending it: a signal that cannot be caught."""
        self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended():
            os.kill(self.pid, number)

    def ended(self) -> bool:
        """Whether it has ended; collects its exit code."""
        if self.code is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self._usage = usage
        return self.code is not None

    def wait(self, timeout_s: float = EXIT_TIMEOUT_S) -> int:
        """Its exit code, once it has ended."""
        give_up_at_s = time.monotonic() + timeout_s
        while not self.ended():
            assert time.monotonic() < give_up_at_s, f"it does not end: {self.output}"
            time.sleep(POLL_S)
        assert self.code is not None
        return self.code


class Programs:
    """All processes of one test."""

    def __init__(self, url: str, pool: str, directory: Path) -> None:
        self._common = ("--redis-url", url, "--set", f"pool.name={pool}")
        self._directory = directory
        self._started: list[Program] = []

    def start(self, *arguments: str) -> Program:
        """`nexus-sched ARGUMENTS` on the test's server and pool."""
        log = self._directory / f"{arguments[0]}-{len(self._started)}.log"
        program = Program(log, (*arguments, *self._common))
        self._started.append(program)
        return program

    def scheduler(self, *settings: str) -> Program:
        """`nexus-sched run`, with `section.key=value` settings."""
        return self.start("run", *(part for setting in settings for part in ("--set", setting)))

    def worker(self, name: str, slots: int) -> Program:
        """`nexus-sched worker` with the tests' application."""
        return self.start("worker", "tests.integration.application:app", "--id", name, "--slots", str(slots))

    def close(self) -> None:
        """Kill whatever still runs. No log of any test may hold a secret."""
        for program in self._started:
            program.kill()
        for program in self._started:
            assert secrets_in(program.output) == [], "a secret is in a log"
