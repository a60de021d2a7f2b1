"""`nexus-sched workers cordon|drain|resume|evict|breaker`: what operators decide about one worker.

Each says what it would do (`--dry-run`) or does it, asks the scheduler what came of it, and never claims more.
"""

from __future__ import annotations

from typing import Literal

from nexus_sched.cli import exit_codes
from nexus_sched.cli.change import Because, carry_out
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.control.views import WorkerChange
from nexus_sched.control.workers import DECISIONS, decide


def cordon(worker: str, /, *, because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Give a worker nothing new; it keeps what it has. Holds until `workers resume`, also if it registers again.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("cordon", worker, because, flags)


def drain(worker: str, /, *, because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Give a worker nothing new and take back what it has not started, so that it is soon idle.

    Holds until `workers resume`, also if it registers again.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("drain", worker, because, flags)


def evict(worker: str, /, *, because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Empty a worker: as `drain`, and what it runs is stopped and runs elsewhere.

    Tasks that may start only once (`retry = "never"`) run to their end. Holds until `workers resume`.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("evict", worker, because, flags)


def resume(worker: str, /, *, because: Because, flags: ConfigFlags = NO_FLAGS) -> int:
    """Let a worker take tasks again, whatever had stopped it: a cordon, a drain or an open breaker.

    A worker that drains by its own wish, because it was told to stop, goes on doing so.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("resume", worker, because, flags)


def breaker(
    worker: str,
    state: Literal["open"],  # noqa: ARG001 - the only one there is; it says what the command does
    /,
    *,
    because: Because,
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
    return _decide("breaker", worker, because, flags)


def _decide(verb: str, worker: str, because: Because, flags: ConfigFlags) -> int:
    command = DECISIONS[verb].command(worker, because.reason, because.who.name)
    return carry_out(flags, lambda desk: decide(desk, because.who, command, dry_run=because.dry_run), _otherwise)


def _otherwise(change: WorkerChange) -> tuple[str, int]:
    standing = "unknown" if change.after is None else change.after.standing.value
    words = f"degraded: the scheduler was told, but {change.worker} is {standing}; its log may say why"
    return words, exit_codes.DEGRADED
