"""What the workers of a run serve. Every execution leaves a line when it begins and one when it ends.

The lines go to a file of the process, opened for appending and written with one system call each: a line that was
written survives any death of the process. The result names the execution, so that it can be found again.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from nexus_sched.worker import App, current

DIARY_VARIABLE = "NEXUS_CHAOS_DIARY"  # names the folder
WORKER_VARIABLE = "NEXUS_CHAOS_WORKER"

app = App()
_file = -1


def note(what: str) -> str:
    """Write down that an execution begins or ends; gives what identifies it."""
    global _file  # noqa: PLW0603 - one file a process, opened by the first task
    if _file < 0:
        path = Path(os.environ[DIARY_VARIABLE]) / f"executions-{os.getpid()}.log"
        _file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    context = current()
    execution = f"{context.task_id} {context.attempt} {os.environ[WORKER_VARIABLE]} {os.getpid()}"
    os.write(_file, f"{what} {execution}\n".encode())
    return execution


@app.task
async def work(ms: float) -> str:
    """Take some time."""
    execution = note("begin")
    await asyncio.sleep(ms / 1_000)
    note("end")
    return execution


@app.task
async def poison() -> None:
    """Kill whoever runs it."""
    note("begin")
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(60)
