"""The app that the demonstration's workers serve: functions that take as long as the plan says.

Each worker process reads from a file who it is and how fast it is for each task type. A run sleeps, which
takes a slot but no processor, so that dozens of workers fit on a small machine.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from nexus_sched.demo.fleet import WorkerProfile
from nexus_sched.demo.server import Address
from nexus_sched.demo.witness import Witness
from nexus_sched.units import MS_PER_S
from nexus_sched.worker import App, current

ROLE_VARIABLE = "NEXUS_DEMO_ROLE"  # names the file


class Role(Struct, frozen=True):
    """What one worker process needs to know."""

    profile: WorkerProfile
    address: Address  # of the server, for the witness stream


def make_app(role: Role) -> App:
    """An app with one function for each task type of the worker's profile."""
    app = App()
    witness = Witness(role.address, role.profile.name)
    for task_type, factor in role.profile.factors.items():
        app.task(task_type)(sleeper(witness, factor))
    return app


def sleeper(witness: Witness, factor: float) -> Callable[[float], Awaitable[None]]:
    """A task function that takes `factor` times its nominal duration, and tells the witness stream so."""

    async def run(duration_ms: float) -> None:
        task_id = current().task_id
        begun = await witness.append(task_id, True, time.monotonic_ns())
        try:
            await asyncio.sleep(duration_ms * factor / MS_PER_S)
        finally:
            ended = await witness.append(task_id, False, time.monotonic_ns())
            await asyncio.gather(begun, ended)

    return run


def _app_of_this_process() -> App:
    path = os.environ.get(ROLE_VARIABLE)
    if path is None:
        return App()
    return make_app(msgspec.json.decode(Path(path).read_bytes(), type=Role))


app = _app_of_this_process()
