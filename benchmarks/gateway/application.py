"""What the worker of the benchmark runs."""

from __future__ import annotations

from nexus_sched.worker import App

app = App()


@app.task
async def nothing() -> None:
    """A task that takes no time."""
