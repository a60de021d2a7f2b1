"""`nexus-sched pool pause|resume|mode`: what people decide about a whole pool, or one type of task."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import Actor, DryRun, Reason, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.control.pool import PoolDecision, decide
from nexus_sched.model.command import PauseTasks, ResumeTasks, SetMode

OfType = Annotated[str, Parameter(name="--type", help="Only tasks of this type; the whole pool if not given.")]


def pause(
    *,
    reason: Reason,
    type_: OfType = "",
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Hand out no more tasks; what runs, runs on, and what is submitted waits."""
    return _decide(flags, PauseTasks(reason, type_, acting(actor).name), actor, dry_run=dry_run)


def resume(
    *,
    reason: Reason,
    type_: OfType = "",
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Hand tasks out again. A type that is paused by itself stays paused when the pool is resumed."""
    return _decide(flags, ResumeTasks(reason, type_, acting(actor).name), actor, dry_run=dry_run)


def mode(
    mode: Literal["predictive", "shadow", "round-robin"],
    /,
    *,
    reason: Reason,
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Choose how workers are picked, until the mode is chosen or configured again.

    Parameters
    ----------
    mode
        predictive: by predicted completion; shadow: in turn, while the predictor learns; round-robin: in turn.
    """
    return _decide(flags, SetMode(mode, reason, acting(actor).name), actor, dry_run=dry_run)


def _decide(flags: ConfigFlags, command: PoolDecision, actor: str | None, *, dry_run: bool) -> int:
    who = acting(actor)
    change = at_desk(flags.read(), lambda desk: decide(desk, who, command, dry_run=dry_run))
    if flags.json:
        print_json(change)
    if change.dry_run:
        note(f"Nothing was changed. It would be so: {change.effect}.")
        return exit_codes.OK
    if change.in_force:
        note(f"In force: {change.effect}.")
        return exit_codes.OK
    note("degraded: the scheduler was told, and has not shown it yet; see `nexus-sched status`")
    return exit_codes.DEGRADED
