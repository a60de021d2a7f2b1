"""`nexus-sched override add|list|remove`: what people decide for a while about a task, or all tasks of a type.

An override is a command to the scheduler, and what is in force is what the scheduler's own picture says: `add` and
`remove` wait for that picture to show the change, and never claim more than it does.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import NO_REASON, Actor, DryRun, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.control import overrides
from nexus_sched.control.fleet import is_stale
from nexus_sched.control.overrides import addition_of, overrides_of, read_effect, read_scope, text_of
from nexus_sched.control.views import OverrideChange, OverrideView
from nexus_sched.units import MS_PER_S, parse_duration_ms

Scope = Annotated[str, Parameter(help="What it is for: type=NAME or task=ID.")]


def add(
    *,
    scope: Scope,
    effect: str,
    reason: str,
    for_: Annotated[str, Parameter(name="--for")],
    actor: str | None = None,
    dry_run: bool = False,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Decide for a while about a task, or all tasks of a type: where they run, how urgent they are, how long they take.

    Exits with code 8 if no scheduler shows it as being in force in time.

    Parameters
    ----------
    effect
        pin=WORKER: runs there only, and waits while it is away; avoid=WORKER: never goes there; priority=+1: counts
        as so many levels more (or less) urgent; estimate=DURATION: takes so long, such as 500ms; factor=NUMBER: takes
        so many times what is predicted. The last two are for types only.
    reason
        Why; everybody sees it.
    for_
        How long it is in force, such as 1h; it ends by itself.
    actor
        Who; the user of this machine by default.
    dry_run
        Check everything and say what would change, and change nothing.
    """
    who = acting(actor)
    command = addition_of(read_scope(scope), read_effect(effect), parse_duration_ms(for_), reason.strip(), who.name)
    change = at_desk(flags.read(), lambda desk: overrides.add(desk, who, command, dry_run=dry_run))
    replaced = "" if change.replaces is None else f", instead of {text_of(change.replaces)}"
    if dry_run:
        return _say(flags, change, f"Nothing was changed. It would be so for {for_}: {change.effect}{replaced}.")
    return _say(flags, change, f"In force for {for_}: {change.effect}{replaced}.")


def list_overrides(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show the overrides in force, and how long each lasts."""
    frame = at_desk(flags.read(), lambda desk: desk.frame())
    rows, stale = overrides_of(frame), is_stale(frame)
    if flags.json:
        print_json({"overrides": rows, "stale": stale})
    elif rows:
        _print_table(rows)
    else:
        note("No overrides are in force.")
    if stale:
        note("degraded: no scheduler has written for a while, this may be old; see `nexus-sched status`")
    return exit_codes.DEGRADED if stale else exit_codes.OK


def remove(
    *,
    scope: Scope,
    effect: str = "",
    reason: str = NO_REASON,
    actor: Actor = None,
    dry_run: DryRun = False,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """End an override before its time.

    Exits with code 5 if there is none, and with 8 if no scheduler shows its end in time.

    Parameters
    ----------
    effect
        Which one, if several are in force for this scope: pin, avoid=WORKER, priority, estimate or factor.
    reason
        Why; it is kept in the audit trail.
    """
    meant = read_scope(scope)
    change = at_desk(
        flags.read(), lambda desk: overrides.remove(desk, acting(actor), meant, effect, reason, dry_run=dry_run)
    )
    return _say(flags, change, f"{'Would end' if dry_run else 'Ended'}: {change.effect}.")


# -- telling -----------------------------------------------------------------------------------------


def remaining_text(span: int) -> str:
    """For people: a span in its two largest units."""
    seconds = span // MS_PER_S
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _print_table(rows: list[OverrideView]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("scope", "effect", "ends in", "actor", "reason"):
        table.add_column(title)
    for row in rows:
        scope, _, effect = text_of(row).partition(" ")
        cells = (scope, effect, remaining_text(row.remaining_ms), row.actor, row.reason)
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)


def _say(flags: ConfigFlags, change: OverrideChange, words: str) -> int:
    if flags.json:
        print_json(change)
    if change.dry_run or change.in_force:
        note(words)
        return exit_codes.OK
    note(
        "degraded: the scheduler has been told, and has not shown the change yet; it takes it up when it runs:"
        " see `nexus-sched status` and `nexus-sched override list`"
    )
    return exit_codes.DEGRADED
