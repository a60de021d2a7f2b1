"""`nexus-sched override add|list|remove`: people's estimate for a type instead of the predictor's, for a while.

A pin is a command to the scheduler, and what is in force is what the scheduler's own picture says: `add` and
`remove` wait for that picture to show the change, and never claim more than it does.
"""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import NO_REASON, Actor, DryRun, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.cli.status import STALE_AFTER_MS
from nexus_sched.control.pool import overrides_of, pin, unpin
from nexus_sched.control.views import OverrideChange, OverrideView
from nexus_sched.errors import InvalidInput
from nexus_sched.model.choices import span_ms
from nexus_sched.model.command import PinEstimate, decode_command, encode_command
from nexus_sched.model.ids import check_task_type
from nexus_sched.units import MS_PER_S, NS_PER_MS, parse_duration_ms

Scope = Annotated[str, Parameter(help="What it is for: type=NAME.")]


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
    """Let your estimate for a type win over the predictor's until it expires.

    Exits with code 8 if no scheduler shows it as being in force within two seconds.

    Parameters
    ----------
    effect
        estimate=DURATION, such as estimate=500ms, for all tasks of the type; or factor=NUMBER, by which
        predictions are multiplied.
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
    command = read_pin(scope, effect, reason, for_, who.name)
    change = at_desk(flags.read(), lambda desk: pin(desk, who, command, dry_run=dry_run))
    words = f"type={command.task_type}: {effect_text(change.override)} for {for_}"
    replaced = "" if change.replaces is None else f", instead of {effect_text(change.replaces)}"
    if dry_run:
        return _say(flags, change, f"Would pin {words}{replaced}.")
    return _say(flags, change, f"In force: {words}{replaced}.")


def list_overrides(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show the overrides in force, and how long each lasts."""
    frame = at_desk(flags.read(), lambda desk: desk.frame())
    now_ms = time.time_ns() // NS_PER_MS
    rows = overrides_of(frame, now_ms)
    stale = now_ms - frame.at_ms > STALE_AFTER_MS
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
    reason: str = NO_REASON,
    actor: Actor = None,
    dry_run: DryRun = False,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """End an override before its time; the predictor speaks again.

    Exits with code 5 if there is none, and with 8 if no scheduler shows its end in time.

    Parameters
    ----------
    reason
        Why; it is kept in the audit trail.
    """
    task_type = read_scope(scope)
    change = at_desk(flags.read(), lambda desk: unpin(desk, acting(actor), task_type, reason, dry_run=dry_run))
    return _say(flags, change, f"Ended: type={task_type}; predictions count again.")


# -- reading what people type ------------------------------------------------------------------------


def read_scope(text: str) -> str:
    """The type in `type=NAME`. Raises `InvalidInput`."""
    kind, separator, name = text.partition("=")
    if kind.strip() != "type" or not separator:
        raise InvalidInput(f"--scope {text!r} is not possible: write it as type=NAME")
    return check_task_type(name.strip())


def read_pin(scope: str, effect: str, reason: str, for_: str, actor: str) -> PinEstimate:
    """The command, checked as the scheduler will check it. Raises `InvalidInput`."""
    kind, _, text = effect.partition("=")
    value_ms, factor = None, 1.0
    if kind.strip() == "estimate":
        value_ms = span_ms(text.strip())
    elif kind.strip() == "factor":
        factor = _number(text)
    else:
        raise InvalidInput(f"--effect {effect!r} is not possible: write estimate=500ms or factor=2.0")
    if not reason.strip():
        raise InvalidInput("--reason is empty: say why, others will want to know")
    pin = PinEstimate(read_scope(scope), parse_duration_ms(for_), reason.strip(), actor, value_ms, factor)
    try:
        decode_command(encode_command(pin))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"this override is out of bounds: {error}") from error
    return pin


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"factor {text!r} is not a number: write factor=2.0") from None


# -- telling -----------------------------------------------------------------------------------------


def effect_text(override: OverrideView | dict[str, object]) -> str:
    """For people: what an override does."""
    effect = override.effect if isinstance(override, OverrideView) else override["effect"]
    assert isinstance(effect, dict)
    if "factor" in effect:
        return f"factor={effect['factor']:g}"
    return f"estimate={effect['estimate_ms']:g}ms"


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
        left = remaining_text(row.remaining_ms)
        cells = (f"type={row.scope['type']}", effect_text(row), left, row.actor, row.reason)
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
