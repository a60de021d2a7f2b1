"""`nexus-sched workers cordon|drain|resume|breaker`: what operators decide about one worker.

Each says what it would do (`--dry-run`) or does it, asks the scheduler what came of it, and never claims more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags, operator_name
from nexus_sched.cli.output import note, print_json
from nexus_sched.cli.workers import about, free_in_text
from nexus_sched.errors import InvalidInput
from nexus_sched.model.answer import WorkerAnswer
from nexus_sched.model.command import CordonWorker, ResumeWorker, TripWorker, decode_command, encode_command
from nexus_sched.model.ids import check_worker_id
from nexus_sched.model.worker import WorkerStanding

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config

SHOWN_WITHIN_S = 5.0
POLL_S = 0.1

Decision = CordonWorker | ResumeWorker | TripWorker
Reason = Annotated[str, Parameter(help="Why; it is kept in the journal and shown to others.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", help="Only say what it would do.", show_default=False)]
Actor = Annotated[str | None, Parameter(help="Who decides it; your user name if not given.", show_default=False)]


def cordon(
    worker: str, /, *, reason: Reason, dry_run: DryRun = False, actor: Actor = None, flags: ConfigFlags = NO_FLAGS
) -> int:
    """Give a worker nothing new; it keeps what it has. Holds until `workers resume`, also if it registers again.

    Parameters
    ----------
    worker
        Its name, as `workers list` prints it.
    """
    command = CordonWorker(worker, False, reason, operator_name(actor))
    return _decide(flags, command, _cordoned, lambda now: now.standing is WorkerStanding.CORDONED, dry_run=dry_run)


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
    command = CordonWorker(worker, True, reason, operator_name(actor))
    return _decide(flags, command, _drained, lambda now: now.standing is WorkerStanding.DRAINING, dry_run=dry_run)


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
    command = ResumeWorker(worker, reason, operator_name(actor))
    return _decide(flags, command, _resumed, lambda now: now.standing is WorkerStanding.ACCEPTING, dry_run=dry_run)


def breaker(
    worker: str,
    state: Literal["open"],
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
    command = TripWorker(worker, reason, operator_name(actor))
    return _decide(flags, command, _tripped, lambda now: now.breaker.state == state, dry_run=dry_run)


# -- what would come of it ---------------------------------------------------------------------------


def _cordoned(now: WorkerAnswer) -> str:
    return f"takes nothing new and keeps its {_count(now.in_flight)}; free in: {free_in_text(now)}"


def _drained(now: WorkerAnswer) -> str:
    return (
        f"takes nothing new, finishes {_count(min(now.in_flight, now.slots))} and gives back"
        f" {_count(max(0, now.in_flight - now.slots))}; free in: {free_in_text(now)}"
    )


def _resumed(now: WorkerAnswer) -> str:
    if now.standing is WorkerStanding.ACCEPTING:
        return "takes tasks already; what is remembered against it is forgotten"
    return f"takes tasks again; it was {now.standing.value}"


def _tripped(now: WorkerAnswer) -> str:
    return (
        f"takes nothing for a while, then one task on trial, and gives back"
        f" {_count(max(0, now.in_flight - now.slots))} it has not started"
    )


def _count(tasks: int) -> str:
    return "1 task" if tasks == 1 else f"{tasks} tasks"


# -- deciding ----------------------------------------------------------------------------------------


def _decide(
    flags: ConfigFlags,
    command: Decision,
    effect: Callable[[WorkerAnswer], str],
    holds: Callable[[WorkerAnswer], bool],
    *,
    dry_run: bool,
) -> int:
    _check(command)
    before, after = asyncio.run(_send(flags.read(), command, holds, dry_run=dry_run))
    words = f"{command.worker} {effect(before)}"
    in_force = after is not None and holds(after)
    if flags.json:
        print_json(
            {
                "worker": command.worker,
                "effect": words,
                "dry_run": dry_run,
                "in_force": in_force,
                "before": before,
                "after": after,
            }
        )
    if after is None:
        note(f"Nothing was changed. It would be so: {words}.")
        return exit_codes.OK
    if in_force:
        note(f"In force: {words}.")
        return exit_codes.OK
    note(f"degraded: the scheduler was told, but {command.worker} is {after.standing.value}; its log may say why")
    return exit_codes.DEGRADED


def _check(command: Decision) -> None:
    """As the scheduler will check it. Raises `InvalidInput`."""
    check_worker_id(command.worker)
    if not command.reason.strip():
        raise InvalidInput("--reason is empty: say why, others will want to know")
    try:
        decode_command(encode_command(command))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise InvalidInput(f"this is out of bounds: {error}") from None


async def _send(
    config: Config, command: Decision, holds: Callable[[WorkerAnswer], bool], *, dry_run: bool
) -> tuple[WorkerAnswer, WorkerAnswer | None]:
    """What the scheduler says of the worker before, and after it was told; `None` if it was not."""
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient

    store = submitter_store(config)
    async with AsyncClient(store=store) as client:
        before = await about(client, command.worker)
        if dry_run:
            return before, None
        await store.command(encode_command(command))
        give_up_at_s = time.monotonic() + SHOWN_WITHIN_S
        while not holds(after := await about(client, command.worker)) and time.monotonic() < give_up_at_s:
            await asyncio.sleep(POLL_S)
        return before, after
