"""`nexus-sched workers cordon|drain|resume|evict|breaker`: what operators decide about one worker.

Each says what it would do (`--dry-run`) or does it, asks the scheduler what came of it, and never claims more.
"""

from __future__ import annotations

from typing import Literal

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import Actor, DryRun, Reason, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.control.workers import Decision, decide
from nexus_sched.model.command import CordonWorker, EvictWorker, ResumeWorker, TripWorker


def cordon(
    worker: str, /, *, reason: Reason, dry_run: DryRun = False, actor: Actor = None, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Give a worker nothing new; it keeps what it has. Holds until `workers resume`, also if it registers again.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    who = acting(actor)
    return _decide(flags, CordonWorker(worker, False, reason, who.name), dry_run=dry_run)


def drain(
    worker: str, /, *, reason: Reason, dry_run: DryRun = False, actor: Actor = None, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Give a worker nothing new and take back what it has not started, so that it is soon idle.

    Holds until `workers resume`, also if it registers again.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    who = acting(actor)
    return _decide(flags, CordonWorker(worker, True, reason, who.name), dry_run=dry_run)


def evict(
    worker: str, /, *, reason: Reason, dry_run: DryRun = False, actor: Actor = None, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Empty a worker: as `drain`, and what it runs is stopped and runs elsewhere.

    Tasks that may start only once (`retry = "never"`) run to their end. Holds until `workers resume`.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    who = acting(actor)
    return _decide(flags, EvictWorker(worker, reason, who.name), dry_run=dry_run)


def resume(
    worker: str, /, *, reason: Reason, dry_run: DryRun = False, actor: Actor = None, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Let a worker take tasks again, whatever had stopped it: a cordon, a drain or an open breaker.

    A worker that drains by its own wish, because it was told to stop, goes on doing so.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    who = acting(actor)
    return _decide(flags, ResumeWorker(worker, reason, who.name), dry_run=dry_run)


def breaker(
    worker: str,
    state: Literal["open"],  # noqa: ARG001 - the only one there is; it says what the command does
    /,
    *,
    reason: Reason,
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Open a worker's breaker, as if too many of its runs had failed. `workers resume` closes it.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    state
        What the breaker shall be: open.
    """
    who = acting(actor)
    return _decide(flags, TripWorker(worker, reason, who.name), dry_run=dry_run)


def _decide(flags: ConfigFlags, command: Decision, *, dry_run: bool) -> int:
    who = acting(command.actor)
    change = at_desk(flags.read(), lambda desk: decide(desk, who, command, dry_run=dry_run))
    if flags.json:
        print_json(change)
    if change.after is None:
        note(f"Nothing was changed. It would be so: {change.effect}.")
        return exit_codes.OK
    if change.in_force:
        note(f"In force: {change.effect}.")
        return exit_codes.OK
    standing = change.after.standing.value
    note(f"degraded: the scheduler was told, but {command.worker} is {standing}; its log may say why")
    return exit_codes.DEGRADED
