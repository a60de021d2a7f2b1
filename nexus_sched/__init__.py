"""nexus_sched: a predictive task scheduler for workers behind Redis Streams.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_sched.client import AsyncClient, Client
    from nexus_sched.worker import App

__all__ = ["App", "AsyncClient", "Client"]

_HOMES = {"App": "nexus_sched.worker", "AsyncClient": "nexus_sched.client", "Client": "nexus_sched.client"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
