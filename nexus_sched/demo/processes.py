"""Child processes that never outlive the demonstration.

Laws of this file:
  1. Every child leads a session of its own, so that a Ctrl-C in the terminal reaches the demonstration
     only, which then stops its children in order.
  2. Where the kernel can do it (Linux), a child is killed with its parent, whatever kills the parent.
  3. A child that ends before it was asked to is a failure, told with its last words.
  4. Only processes started here are signalled, by id, and each is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nexus_sched.demo.options import DemoFailed

POLL_S = 0.01
LAST_WORDS_BYTES = 4_000
PR_SET_PDEATHSIG = 1
SETTINGS_PREFIX = "NEXUS__"


class Child:
    """One running process and its log."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def failure(self) -> DemoFailed | None:
        """Why the child is a failure, if it has ended."""
        status = self.process.poll()
        if status is None:
            return None
        how = f"exit code {status}" if status >= 0 else f"signal {-status}"
        return DemoFailed(f"{self.name} ended unexpectedly ({how}); its last words:\n{last_words(self.log)}")


class Children:
    """Some processes that are started one by one and stopped together."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: list[Child] = []
        self._die_with_parent = parent_death_hook()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start `command`; what it prints goes to `<name>.log`."""
        log = self._directory / f"{name}.log"
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**inherited_environment(), **(environment or {})},
                    cwd=self._directory,
                    start_new_session=True,
                    preexec_fn=self._die_with_parent,  # noqa: PLW1509 - one system call, safe after fork
                )
            except OSError as error:
                raise DemoFailed(f"{name} cannot be started ({command[0]}): {error}") from error
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise `DemoFailed` if a child has ended."""
        for child in self._children:
            failure = child.failure()
            if failure is not None:
                raise failure

    async def stop(self, grace_s: float) -> None:
        """End all children: asked politely at once, killed after `grace_s` or when this is cancelled."""
        remaining, self._children = self._children, []
        for child in remaining:
            signal_group(child.process, signal.SIGTERM)
        deadline_s = time.monotonic() + grace_s
        try:
            while any(child.process.poll() is None for child in remaining) and time.monotonic() < deadline_s:
                await asyncio.sleep(POLL_S)
        finally:
            for child in remaining:
                signal_group(child.process, signal.SIGKILL)  # also what the child itself has started
                child.process.wait()


def inherited_environment() -> dict[str, str]:
    """This process's environment without settings of the scheduler, which are not meant for the demonstration."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_PREFIX)}


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a child and everything in its session's first group; what is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def last_words(log: Path) -> str:
    """The end of a log, for people."""
    with contextlib.suppress(OSError), log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - LAST_WORDS_BYTES))
        return stream.read().decode("utf-8", "replace").strip() or "(nothing)"
    return "(nothing)"


def parent_death_hook() -> Callable[[], None] | None:
    """What a child does between fork and exec so that it dies with its parent; `None` off Linux."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return die_with_parent
