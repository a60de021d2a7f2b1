"""`nexus-sched task cancel|boost|reassign|retry`: what people decide about one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import Actor, DryRun, Reason, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.control import tasks
from nexus_sched.model.command import BoostTask, ReassignTask, RetryTask
from nexus_sched.model.task import PRIORITY_MAX

INSTEAD = {  # of decisions that did not count
    tasks.ALREADY_PLACED: "a worker was given {task} before the decision was read",
    tasks.ALREADY_ENDED: "{task} ended before the decision was read: it is {after.state}",
    tasks.NOT_FOUND: "{task} has ended and is not known any more",
    tasks.REFUSED: "the scheduler refused it for {task}; its log says why",
}

if TYPE_CHECKING:
    from nexus_sched.control.views import TaskChange


def cancel(
    task_id: str, /, *, reason: Reason, dry_run: DryRun = False, actor: Actor = None, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Take a waiting task out of the queue, or tell a running one to stop.

    Exits with code 6 if it has ended, and with 8 if it was told to stop and still runs.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    who = acting(actor)
    return _tell(flags, at_desk(flags.read(), lambda desk: tasks.cancel(desk, who, task_id, reason, dry_run=dry_run)))


def boost(
    task_id: str,
    /,
    *,
    reason: Reason,
    priority: Annotated[int, Parameter(help="From 0 to 9, 9 is the most urgent.")] = PRIORITY_MAX,
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Give a waiting task another priority.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    who = acting(actor)
    command = BoostTask(task_id, priority, reason, who.name)
    return _tell(flags, at_desk(flags.read(), lambda desk: tasks.boost(desk, who, command, dry_run=dry_run)))


def reassign(
    task_id: str,
    /,
    *,
    reason: Reason,
    to: Annotated[str, Parameter(help="The worker that it should go to; any other than now if not given.")] = "",
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Let a task that has not begun run on another worker.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    who = acting(actor)
    command = ReassignTask(task_id, reason, to, who.name)
    return _tell(flags, at_desk(flags.read(), lambda desk: tasks.reassign(desk, who, command, dry_run=dry_run)))


def retry(
    task_id: str, /, *, reason: Reason, dry_run: DryRun = False, actor: Actor = None, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Send a dead task again, or end the pause before the retry of one that failed.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    who = acting(actor)
    command = RetryTask(task_id, reason, who.name)
    return _tell(flags, at_desk(flags.read(), lambda desk: tasks.retry(desk, who, command, dry_run=dry_run)))


def _tell(flags: ConfigFlags, change: TaskChange) -> int:
    if flags.json:
        print_json(change)
    if change.dry_run:
        note(f"Nothing was changed. It would be so: {change.effect}.")
        return exit_codes.OK
    if change.in_force:
        note(f"Done: {change.effect}.")
        return exit_codes.OK
    if change.outcome == tasks.PENDING:
        note(f"degraded: the scheduler was told that {change.effect}, and it is not so yet; see `nexus-sched explain`")
        return exit_codes.DEGRADED
    note(f"Not done: {INSTEAD[change.outcome].format(task=change.task_id, after=change.after)}.")
    return exit_codes.NOT_FOUND if change.outcome == tasks.NOT_FOUND else exit_codes.CONFLICT
