"""What all commands that change something share: their flags, how they are carried out, and what is told of them.

A change is recorded, carried out at the desk, and told by what was seen of it: done, nothing (a dry run), or told to a
scheduler that has not shown it yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import Actor, DryRun, Reason, acting, at_desk
from nexus_sched.cli.options import ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.control.views import Change

if TYPE_CHECKING:
    from nexus_sched.control.desk import Desk
    from nexus_sched.control.record import Actor as Acting

Changed = TypeVar("Changed", bound=Change)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Because:
    """Why, whether really, and by whom."""

    reason: Reason
    dry_run: DryRun = False
    actor: Actor = None

    @property
    def who(self) -> Acting:
        """Who changes it."""
        return acting(self.actor)


def carry_out(
    flags: ConfigFlags, act: Callable[[Desk], Awaitable[Changed]], otherwise: Callable[[Changed], tuple[str, int]]
) -> int:
    """Change something and tell of it. `otherwise` has the words and the exit code for what is not in force."""
    change = at_desk(flags.read(), act)
    if flags.json:
        print_json(change)
    if change.dry_run:
        note(f"Nothing was changed. It would be so: {change.effect}.")
        return exit_codes.OK
    if change.in_force:
        note(f"In force: {change.effect}.")
        return exit_codes.OK
    words, code = otherwise(change)
    note(words)
    return code
