"""Smaller bounds for a small world: pages of a few entries, and checkpoints after a few turns.

A story has some tens of tasks, so with the bounds of the product it would never see a second page, nor a snapshot that
is not the last. They are numbers of modules, read whenever they are needed; here they are other numbers for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from nexus_sched.runtime import checkpoints, intake, liveness, recovery, standby, turn
from nexus_sched.worker import inbox, ledger, service

SMALL: tuple[tuple[ModuleType, str, float], ...] = (
    (intake, "READ_COUNT", 3),
    (intake, "TURN_EVENTS_MAX", 4),
    (intake, "WAITING_EVENTS_MAX", 8),
    (liveness, "REAP_TASKS_MAX", 1),
    (recovery, "JOURNAL_PAGE", 7),
    (standby, "LOOK_TURNS_MAX", 3),
    (standby, "SNAPSHOT_EVENTS", 25),
    (standby, "SNAPSHOT_PAUSE_S", 0.5),
    (checkpoints, "CHECKPOINT_EVENTS", 40),
    (checkpoints, "CHECKPOINT_IDLE_EVENTS", 15),
    (checkpoints, "CHECKPOINT_PAUSE_S", 2.0),
    (turn, "DIGEST_EVERY", 8),
    (inbox, "READ_COUNT", 2),
    (ledger, "COMPLETIONS_PER_STEP_MAX", 1),
    (service, "STARTS_PER_STEP_MAX", 2),
)


@contextmanager
def bounds(*, small: bool) -> Iterator[None]:
    """Run with the product's bounds, or with small ones."""
    usual = [(module, name, getattr(module, name)) for module, name, _ in SMALL]
    try:
        for module, name, bound in SMALL if small else ():
            setattr(module, name, bound)
        yield
    finally:
        for module, name, bound in usual:
            setattr(module, name, bound)
