"""`nexus-sched pool pause|resume|mode`: what people decide about a whole pool, or one type of task."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.change import Because, carry_out
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.control.pool import PoolDecision, decide
from nexus_sched.control.views import PoolChange
from nexus_sched.model.command import PauseTasks, ResumeTasks, SetMode

Mode = Literal["predictive", "shadow", "round-robin"]
OfType = Annotated[str, Parameter(name="--type", help="Only tasks of this type; the whole pool if not given.")]


def pause(*, type_: OfType = "", because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Hand out no more tasks; what runs, runs on, and what is submitted waits."""
    return _decide(because, flags, PauseTasks(because.reason, type_, because.who.name))


def resume(*, type_: OfType = "", because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Hand tasks out again. A type that is paused by itself stays paused when the pool is resumed."""
    return _decide(because, flags, ResumeTasks(because.reason, type_, because.who.name))


def mode(
    mode: Literal["predictive", "shadow", "round-robin"], /, *, because: Because, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Choose how workers are picked, until the mode is chosen or configured again.

    Parameters
    ----------
    mode
        predictive: by predicted completion; shadow: in turn, while the predictor learns; round-robin: in turn.
    """
    return _decide(because, flags, SetMode(mode, because.reason, because.who.name))


def _decide(because: Because, flags: ConfigFlags, command: PoolDecision) -> int:
    return carry_out(flags, lambda desk: decide(desk, because.who, command, dry_run=because.dry_run), _otherwise)


def _otherwise(_: PoolChange) -> tuple[str, int]:
    return "degraded: the scheduler was told, and has not shown it yet; see `nexus-sched status`", exit_codes.DEGRADED
