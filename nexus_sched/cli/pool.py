"""`nexus-sched pool pause|resume|mode`: what people decide about a whole pool, or one type of task."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.change import ChangeFlags, carry_out
from nexus_sched.control.pool import PoolDecision, decide
from nexus_sched.control.views import PoolChange
from nexus_sched.model.command import PauseTasks, ResumeTasks, SetMode

OfType = Annotated[str, Parameter(name="--type", help="Only tasks of this type; the whole pool if not given.")]


def pause(*, type_: OfType = "", flags: ChangeFlags) -> int:
    """Hand out no more tasks; what runs, runs on, and what is submitted waits."""
    return _decide(flags, PauseTasks(flags.reason, type_, flags.who.name))


def resume(*, type_: OfType = "", flags: ChangeFlags) -> int:
    """Hand tasks out again. A type that is paused by itself stays paused when the pool is resumed."""
    return _decide(flags, ResumeTasks(flags.reason, type_, flags.who.name))


def mode(mode: Literal["predictive", "shadow", "round-robin"], /, *, flags: ChangeFlags) -> int:
    """Choose how workers are picked, until the mode is chosen or configured again.

    Parameters
    ----------
    mode
        predictive: by predicted completion; shadow: in turn, while the predictor learns; round-robin: in turn.
    """
    return _decide(flags, SetMode(mode, flags.reason, flags.who.name))


def _decide(flags: ChangeFlags, command: PoolDecision) -> int:
    return carry_out(flags, lambda desk: decide(desk, flags.who, command, dry_run=flags.dry_run), _otherwise)


def _otherwise(_: PoolChange) -> tuple[str, int]:
    return "degraded: the scheduler was told, and has not shown it yet; see `nexus-sched status`", exit_codes.DEGRADED
