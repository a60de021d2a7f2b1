"""`nexus-sched workers cordon|drain|resume|evict|breaker`: what operators decide about one worker.

Each says what it would do (`--dry-run`) or does it, asks the scheduler what came of it, and never claims more.
"""

from __future__ import annotations

from typing import Literal

from nexus_sched.cli import exit_codes
from nexus_sched.cli.change import ChangeFlags, carry_out
from nexus_sched.control.views import WorkerChange
from nexus_sched.control.workers import DECISIONS, decide


def cordon(worker: str, /, *, flags: ChangeFlags) -> int:
    """Give a worker nothing new; it keeps what it has. Holds until `workers resume`, also if it registers again.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("cordon", worker, flags)


def drain(worker: str, /, *, flags: ChangeFlags) -> int:
    """Give a worker nothing new and take back what it has not started, so that it is soon idle.

    Holds until `workers resume`, also if it registers again.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("drain", worker, flags)


def evict(worker: str, /, *, flags: ChangeFlags) -> int:
    """Empty a worker: as `drain`, and what it runs is stopped and runs elsewhere.

    Tasks that may start only once (`retry = "never"`) run to their end. Holds until `workers resume`.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("evict", worker, flags)


def resume(worker: str, /, *, flags: ChangeFlags) -> int:
    """Let a worker take tasks again, whatever had stopped it: a cordon, a drain or an open breaker.

    A worker that drains by its own wish, because it was told to stop, goes on doing so.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    return _decide("resume", worker, flags)


def breaker(
    worker: str,
    state: Literal["open"],  # noqa: ARG001 - the only one there is; it says what the command does
    /,
    *,
    flags: ChangeFlags,
) -> int:
    """Open a worker's breaker, as if too many of its runs had failed. `workers resume` closes it.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    state
        What the breaker shall be: open.
    """
    return _decide("breaker", worker, flags)


def _decide(verb: str, worker: str, flags: ChangeFlags) -> int:
    command = DECISIONS[verb].command(worker, flags.reason, flags.who.name)
    return carry_out(flags, lambda desk: decide(desk, flags.who, command, dry_run=flags.dry_run), _otherwise)


def _otherwise(change: WorkerChange) -> tuple[str, int]:
    standing = "unknown" if change.after is None else change.after.standing.value
    words = f"degraded: the scheduler was told, but {change.worker} is {standing}; its log may say why"
    return words, exit_codes.DEGRADED
