"""`nexus-sched predictor list|show|load|shadow|promote|rollback`: who predicts in a pool, and who may.

Changing who predicts is a command to the scheduler. What is in force is what the scheduler's own picture says: each
command waits for that picture to show the change, and never claims more than it does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import NO_REASON, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.cli.predictor_train import described
from nexus_sched.control.pool import decide
from nexus_sched.errors import InvalidInput, NexusError
from nexus_sched.model.command import ChoosePredictor, ShadowPredictor
from nexus_sched.model.ids import check_worker_id
from nexus_sched.plugins import model_file
from nexus_sched.plugins.catalogue import BUILT_IN, Catalogue

Why = Annotated[str, Parameter(help="Why; it is kept in the audit trail.")]


class NoFormerPredictor(NexusError):
    """There is no predictor to go back to."""

    code = "NO_FORMER_PREDICTOR"
    exit_code = exit_codes.NOT_FOUND


def list_predictors(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """List the predictors that are installed, and whether each can be used."""
    catalogue = Catalogue()
    rows = [
        {"name": name, "origin": "package" if name in BUILT_IN else "entry point", "problem": catalogue.why_not(name)}
        for name in catalogue
    ]
    if flags.json:
        print_json({"predictors": rows})
        return exit_codes.OK
    for row in rows:
        sys.stdout.write(f"{row['name']:<20} {row['origin']:<12} {row['problem'] or 'can be used'}\n")
    return exit_codes.OK


def show(model: Path | None = None, /, *, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show who predicts in the pool and how right it is, or what a model file holds.

    Parameters
    ----------
    model
        A file that `predictor train` wrote. Without it the pool is shown.
    """
    if model is not None:
        facts = described(model_file.unpack(model_file.read(model), str(model)))
    else:
        frame = at_desk(flags.read(), lambda desk: desk.frame())
        facts = {
            "predictor": frame.predictor,
            "shadow": frame.shadow,
            "breaker": frame.breaker,
            "scores": {name: {"predictions": seen, "within_25": hit} for name, (seen, hit) in frame.scores.items()},
        }
    if flags.json:
        print_json(facts)
        return exit_codes.OK
    scores = facts.pop("scores", {})
    output = console()
    for name, value in facts.items():
        output.print(f"{name:<20} {value}", markup=False, soft_wrap=True)
    for name, (seen, hit) in frame.scores.items() if model is None and scores else ():
        share = f"{hit / seen:.1%} of {seen} runs within 25 %" if seen else "not scored yet"
        output.print(f"{name:<20} {share}", markup=False, soft_wrap=True)
    return exit_codes.OK


def load(model: Path, /, *, reason: Why = NO_REASON, flags: ConfigFlags = NO_FLAGS) -> int:
    """Let the predictor with this model learn and be scored in the shadow.

    The scheduler finds it by its digest beside the file that `predictor.model` names.

    Parameters
    ----------
    model
        The file that `predictor train` wrote.
    """
    blob = model_file.read(model)
    file = model_file.unpack(blob, str(model))
    if not model_file.kept_path(model, file.digest).is_file():
        model_file.write(model, blob)
    return _change(flags, ShadowPredictor(file.called, reason, acting(None).name), file.called, "is in the shadow")


def shadow(name: str = "", /, *, reason: Why = NO_REASON, flags: ConfigFlags = NO_FLAGS) -> int:
    """Let a predictor learn and be scored beside the active one.

    Parameters
    ----------
    name
        The predictor; without it the one in the shadow is dismissed.
    """
    if not name:
        return _change(flags, ShadowPredictor("", reason, acting(None).name), "nobody", "is in the shadow")
    return _change(flags, ShadowPredictor(_checked(name), reason, acting(None).name), name, "is in the shadow")


def promote(name: str, /, *, reason: Why = NO_REASON, flags: ConfigFlags = NO_FLAGS) -> int:
    """Let a predictor speak; the former one goes into the shadow.

    Parameters
    ----------
    name
        The predictor; one that is in the shadow keeps all it has learned.
    """
    return _change(flags, ChoosePredictor(_checked(name), reason, acting(None).name), name, "predicts")


def rollback(*, reason: Why = NO_REASON, flags: ConfigFlags = NO_FLAGS) -> int:
    """Let the former predictor speak again: the one in the shadow."""
    frame = at_desk(flags.read(), lambda desk: desk.frame())
    if not frame.shadow:
        raise NoFormerPredictor("nobody is in the shadow, so there is nothing to go back to; see `predictor show`")
    return _change(flags, ChoosePredictor(frame.shadow, reason, acting(None).name), frame.shadow, "predicts")


def _checked(name: str) -> str:
    try:
        return check_worker_id(name)  # a name of the same form, as the scheduler will check it
    except InvalidInput:
        raise InvalidInput(f"{name[:80]!r} is no name of a predictor; see `nexus-sched predictor list`") from None


def _change(flags: ConfigFlags, command: ChoosePredictor | ShadowPredictor, name: str, does: str) -> int:
    """Send the command and wait until it shows."""
    who = acting(None)
    change = at_desk(flags.read(), lambda desk: decide(desk, who, command, dry_run=False))
    after = change.after or change.before
    if flags.json:
        print_json({"in_force": change.in_force, "predictor": after.predictor, "shadow": after.shadow})
    if change.in_force:
        note(f"In force: {name} {does}.")
        return exit_codes.OK
    note(
        f"The scheduler was told that {name} {does}, but does not show it: it may be down, or not have this predictor."
        " Its log says which; see also `nexus-sched status`."
    )
    return exit_codes.DEGRADED
