"""Tasks that can be watched from outside: they leave a line in a file when they begin and when they end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from nexus_sched.worker import App

app = App()


def note(diary: str, line: str) -> None:
    with Path(diary).open("a") as file:
        file.write(line + "\n")


@app.task
def blocking(diary: str, seconds: float) -> str:
    note(diary, "begin")
    time.sleep(seconds)
    note(diary, "end")
    return "blocked"


@app.task
async def awaiting(diary: str, seconds: float) -> str:
    note(diary, "begin")
    await asyncio.sleep(seconds)
    note(diary, "end")
    return "awaited"
