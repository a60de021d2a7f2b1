"""The application that worker processes of these tests serve, and that workers within the test share."""

from __future__ import annotations

import asyncio
import os

from nexus_sched.worker import App

app = App()


@app.task
async def where(ms: float = 0.0, _: str = "") -> int:
    """Take some time, and tell which process it was."""
    await asyncio.sleep(ms / 1_000)
    return os.getpid()


def paced(speed: float) -> App:
    """An application whose task `work` takes `ms / speed`."""
    own = App()

    @own.task
    async def work(ms: float, _: str = "") -> None:
        await asyncio.sleep(ms / speed / 1_000)

    return own
