"""`nexus-sched override add|list|remove`: people's estimate for a type instead of the predictor's, for a while.

A pin is a command to the scheduler, and what is in force is what the scheduler's own picture says: `add` and
`remove` wait for that picture to show the change, and never claim more than it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags, operator_name
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.cli.status import STALE_AFTER_MS, PoolUnknown
from nexus_sched.cli.stores import submitter_store
from nexus_sched.errors import InvalidInput, NexusError
from nexus_sched.model.choices import span_ms
from nexus_sched.model.command import Command, PinEstimate, UnpinEstimate, decode_command, encode_command
from nexus_sched.model.events import EstimatePinned
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.ids import check_task_type
from nexus_sched.units import MS_PER_S, parse_duration_ms

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.runtime.ports import SubmitterStore

SHOWN_WITHIN_S = 2.0  # the picture is painted twice a second
POLL_S = 0.1

Scope = Annotated[str, Parameter(help="What it is for: type=NAME.")]
Shows = Callable[[Frame, Frame], bool]  # of the picture before the command and a later one


class OverrideUnknown(NexusError):
    """No override is in force for this."""

    code = "OVERRIDE_UNKNOWN"
    exit_code = exit_codes.NOT_FOUND


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
    pin = read_pin(scope, effect, reason, for_, operator_name(actor))
    before, after = asyncio.run(_change(flags.read(), pin, lambda old, new: _shows(pin, old, new), dry_run=dry_run))
    standing = _find(before, pin.task_type)
    answer: dict[str, object] = {
        "override": {"scope": scope_of(pin.task_type), "effect": effect_of(pin), "reason": pin.reason},
        "replaces": None if standing is None else described(standing, before.at_ms),
    }
    words = f"type={pin.task_type}: {effect_text(pin)} for {for_}"
    replaced = "" if standing is None else f", instead of {effect_text(standing)}"
    if dry_run:
        return _say(flags, {**answer, "in_force": False, "dry_run": True}, f"Would pin {words}{replaced}.")
    if after is None:
        return _not_shown(flags, answer)
    return _say(flags, {**answer, "in_force": True}, f"In force: {words}{replaced}.")


def list_overrides(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show the overrides in force, and how long each lasts."""
    frame = asyncio.run(_look(flags.read()))
    now_ms = time.time_ns() // 1_000_000
    rows = [described(pin, now_ms) for pin in frame.pins if pin.until_ms > now_ms]
    stale = now_ms - frame.at_ms > STALE_AFTER_MS
    if flags.json:
        print_json({"overrides": rows, "stale": stale})
    elif rows:
        _print_table([pin for pin in frame.pins if pin.until_ms > now_ms], now_ms)
    else:
        note("No overrides are in force.")
    if stale:
        note("degraded: no scheduler has written for a while, this may be old; see `nexus-sched status`")
    return exit_codes.DEGRADED if stale else exit_codes.OK


def remove(*, scope: Scope, flags: ConfigFlags = NO_FLAGS) -> int:
    """End an override before its time; the predictor speaks again.

    Exits with code 5 if there is none, and with 8 if no scheduler shows its end within two seconds.
    """
    task_type = read_scope(scope)
    command = UnpinEstimate(task_type)
    before, after = asyncio.run(_change(flags.read(), command, lambda _, new: _find(new, task_type) is None))
    standing = _find(before, task_type)
    answer: dict[str, object] = {
        "scope": scope_of(task_type),
        "ended": None if standing is None else described(standing, before.at_ms),
    }
    if after is None:
        return _not_shown(flags, answer)
    return _say(flags, {**answer, "in_force": False}, f"Ended: type={task_type}; predictions count again.")


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


# -- asking the scheduler ----------------------------------------------------------------------------


async def _look(config: Config) -> Frame:
    store = submitter_store(config)
    try:
        await store.open()
        return await _frame(store, config)
    finally:
        await store.close()


async def _change(
    config: Config, command: Command, shown: Shows, *, dry_run: bool = False
) -> tuple[Frame, Frame | None]:
    """Send a command; the picture before it, and the one that shows what it did, if one does in time."""
    store = submitter_store(config)
    try:
        await store.open()
        before = await _frame(store, config)
        if isinstance(command, UnpinEstimate) and _find(before, command.task_type) is None:
            raise OverrideUnknown(f"no override is in force for type={command.task_type}; see `override list`")
        if dry_run:
            return before, None
        await store.command(encode_command(command))
        give_up_at_s = time.monotonic() + SHOWN_WITHIN_S
        while time.monotonic() < give_up_at_s:
            await asyncio.sleep(POLL_S)
            after = await _frame(store, config)
            if shown(before, after):
                return before, after
        return before, None
    finally:
        await store.close()


async def _frame(store: SubmitterStore, config: Config) -> Frame:
    blob = await store.frame()
    if blob is None:
        raise PoolUnknown(
            f"no scheduler has ever served pool {config.pool.name!r} on this server; start one with `nexus-sched run`"
        )
    return decode_frame(blob)


def _shows(pin: PinEstimate, before: Frame, after: Frame) -> bool:
    """Whether this very pin has come since `before`."""
    wanted = (pin.task_type, pin.value_ms, pin.factor, pin.reason, pin.actor)
    return any(
        (each.task_type, each.value_ms, each.factor, each.reason, each.actor) == wanted
        for each in after.pins
        if each not in before.pins
    )


def _find(frame: Frame, task_type: str) -> EstimatePinned | None:
    return next((pin for pin in frame.pins if pin.task_type == task_type and pin.until_ms > frame.at_ms), None)


# -- telling -----------------------------------------------------------------------------------------


def scope_of(task_type: str) -> dict[str, str]:
    """For `--json`: what an override is for."""
    return {"type": task_type}


def effect_of(pin: PinEstimate | EstimatePinned) -> dict[str, float]:
    """For `--json`: what an override does."""
    return {"factor": pin.factor} if pin.value_ms is None else {"estimate_ms": pin.value_ms}


def effect_text(pin: PinEstimate | EstimatePinned) -> str:
    """For people: what an override does."""
    return f"factor={pin.factor:g}" if pin.value_ms is None else f"estimate={pin.value_ms:g}ms"


def described(pin: EstimatePinned, now_ms: int) -> dict[str, object]:
    """For `--json`: one override with the time it has left."""
    return {
        "scope": scope_of(pin.task_type),
        "effect": effect_of(pin),
        "reason": pin.reason,
        "actor": pin.actor,
        "until_ms": pin.until_ms,
        "remaining_ms": max(0, pin.until_ms - now_ms),
    }


def remaining_text(span: int) -> str:
    """For people: a span in its two largest units."""
    seconds = span // MS_PER_S
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _print_table(pins: list[EstimatePinned], now_ms: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("scope", "effect", "ends in", "actor", "reason"):
        table.add_column(title)
    for pin in pins:
        cells = (
            f"type={pin.task_type}",
            effect_text(pin),
            remaining_text(pin.until_ms - now_ms),
            pin.actor,
            pin.reason,
        )
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)


def _say(flags: ConfigFlags, answer: dict[str, object], words: str) -> int:
    if flags.json:
        print_json(answer)
    else:
        note(words)
    return exit_codes.OK


def _not_shown(flags: ConfigFlags, answer: dict[str, object]) -> int:
    if flags.json:
        print_json({**answer, "in_force": None})
    note(
        "degraded: the scheduler has been told, and has not shown the change yet; it takes it up when it runs:"
        " see `nexus-sched status` and `nexus-sched override list`"
    )
    return exit_codes.DEGRADED
