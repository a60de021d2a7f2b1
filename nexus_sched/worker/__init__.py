"""The reference worker runtime: register functions on an `App`, then `serve` it.

`app` what is offered, `functions` arguments, `calls` one call, `context` what a task knows of itself ·
`executors` `threads` `processes` `child` where calls run · `ledger` what is here, `inbox` what comes,
`completions` what goes, `service` the worker at work · `entry` the process, `settings`, `log`, `connect`.

Names are loaded when they are first used: declaring tasks does not load what serving needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_sched.worker.app import App
    from nexus_sched.worker.context import Context, TaskCancelled, current
    from nexus_sched.worker.entry import serve
    from nexus_sched.worker.service import Worker
    from nexus_sched.worker.settings import WorkerSettings

__all__ = ["App", "Context", "TaskCancelled", "Worker", "WorkerSettings", "current", "serve"]

_HOMES = {
    "App": "app",
    "Context": "context",
    "TaskCancelled": "context",
    "Worker": "service",
    "WorkerSettings": "settings",
    "current": "context",
    "serve": "entry",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
