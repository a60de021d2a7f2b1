"""`nexus-sched task cancel|boost|reassign|retry`: what people decide about one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.change import Because, carry_out
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
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
    from collections.abc import Awaitable, Callable

    from nexus_sched.control.desk import Desk
    from nexus_sched.control.views import TaskChange


def cancel(task_id: str, /, *, because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Take a waiting task out of the queue, or tell a running one to stop.

    Exits with code 6 if it has ended, and with 8 if it was told to stop and still runs.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    return _decide(
        flags, lambda desk: tasks.cancel(desk, because.who, task_id, because.reason, dry_run=because.dry_run)
    )


def boost(
    task_id: str,
    /,
    *,
    priority: Annotated[int, Parameter(help="From 0 to 9, 9 is the most urgent.")] = PRIORITY_MAX,
    because: Because,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Give a waiting task another priority.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    command = BoostTask(task_id, priority, because.reason, because.who.name)
    return _decide(flags, lambda desk: tasks.boost(desk, because.who, command, dry_run=because.dry_run))


def reassign(
    task_id: str,
    /,
    *,
    to: Annotated[str, Parameter(help="The worker that it should go to; any other than now if not given.")] = "",
    because: Because,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Let a task that has not begun run on another worker.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    command = ReassignTask(task_id, because.reason, to, because.who.name)
    return _decide(flags, lambda desk: tasks.reassign(desk, because.who, command, dry_run=because.dry_run))


def retry(task_id: str, /, *, because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Send a dead task again, or end the pause before the retry of one that failed.

    Parameters
    ----------
    task_id
        The id that `submit` printed.
    """
    command = RetryTask(task_id, because.reason, because.who.name)
    return _decide(flags, lambda desk: tasks.retry(desk, because.who, command, dry_run=because.dry_run))


def _decide(flags: ConfigFlags, act: Callable[[Desk], Awaitable[TaskChange]]) -> int:
    return carry_out(flags, act, _otherwise)


def _otherwise(change: TaskChange) -> tuple[str, int]:
    if change.outcome == tasks.PENDING:
        words = f"the scheduler was told that {change.effect}, and it is not so yet; see `nexus-sched explain`"
        return f"degraded: {words}", exit_codes.DEGRADED
    words = f"Not done: {INSTEAD[change.outcome].format(task=change.task_id, after=change.after)}."
    return words, exit_codes.NOT_FOUND if change.outcome == tasks.NOT_FOUND else exit_codes.CONFLICT
