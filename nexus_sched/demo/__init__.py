"""The demonstration: embedded server, real worker processes, one workload twice.

`options` what is asked for · `fleet`, `workload`, `trace_workload` the plan · `server`, `processes`, `stage`
what runs · `tasks`, `witness` inside the workers · `half` one half · `ledger`, `measure`, `quantiles`,
`report`, `table` what was found · `run` all of it.

The names below are loaded when they are first used: a worker process needs `tasks` only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_sched.demo.options import DemoFailed, DemoInterrupted, DemoOptions
    from nexus_sched.demo.report import DemoReport
    from nexus_sched.demo.run import run_demo
    from nexus_sched.demo.table import render

__all__ = ["DemoFailed", "DemoInterrupted", "DemoOptions", "DemoReport", "render", "run_demo"]

_HOMES = {
    "DemoFailed": "options",
    "DemoInterrupted": "options",
    "DemoOptions": "options",
    "DemoReport": "report",
    "render": "table",
    "run_demo": "run",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
