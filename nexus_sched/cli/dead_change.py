"""`nexus-sched dead redrive|purge`: what operators do with dead letters, each with a reason that is remembered."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.dead import SEARCH_MAX, OfType, described, find, with_client
from nexus_sched.cli.desk import Actor, DryRun, Reason, acting, at_desk
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.client.letters import check_reason
from nexus_sched.errors import InvalidInput
from nexus_sched.runtime.ports import DeadLetter, Redrive

if TYPE_CHECKING:
    from nexus_sched.client import AsyncClient
    from nexus_sched.control.desk import Desk

All = Annotated[bool, Parameter(name="--all", help="All that match, instead of names.", show_default=False)]
Died = Annotated[str | None, Parameter(name="--died-of", help="Only those that died of this.", show_default=False)]
WORDS = {
    Redrive.QUEUED: "queued again",
    Redrive.REPEATED: "queued again (the first reply was lost)",
    Redrive.GONE: "gone meanwhile: somebody else sent it again or purged it",
    Redrive.NOT_DEAD: "no task that could be sent again; `dead purge` removes the letter",
    Redrive.PAYLOAD_LOST: "its payload is lost; `dead purge` removes the letter",
    Redrive.BUSY: "not queued: the queue is full; try again later",
}


def redrive(
    *names: str,
    reason: Reason,
    all_: All = False,
    died_of: Died = None,
    type_: OfType = None,
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Send dead tasks again, each exactly once: under its id, with its payload and priority, and all its attempts.

    Exits with code 6 if some could not be sent again; the others were.

    Parameters
    ----------
    names
        Ids of tasks, or entries of letters, as `dead list` prints them.
    """
    check_reason(reason)
    _check_choice(names, every=all_, narrowed=died_of is not None or type_ is not None)

    who = acting(actor)

    async def act(desk: Desk) -> tuple[list[DeadLetter], list[Redrive]]:
        letters = await _chosen(desk.client, names, died_of, type_)
        if dry_run or not letters:
            return letters, []
        await desk.record(who, "dead.redrive", "", reason, None, {"letters": [letter.key for letter in letters]})
        return letters, await desk.client.redrive(letters, reason, who.name)

    letters, answers = at_desk(flags.read(), act)
    if flags.json:
        told = [
            letter | {"answer": answer.name.lower().replace("_", "-")} for letter, answer in _rows(letters, answers)
        ]
        print_json({"dry_run": dry_run, "letters": told or [described(letter) for letter in letters]})
    if dry_run:
        note(f"Nothing was changed. It would send {_count(len(letters))} again.")
        return exit_codes.OK
    for answer, number in Counter(answers).items():
        note(f"{number} {WORDS[answer]}.")
    if not answers:
        note("Nothing matched.")
    sent = all(answer in (Redrive.QUEUED, Redrive.REPEATED) for answer in answers)
    return exit_codes.OK if sent else exit_codes.CONFLICT


def purge(
    *names: str,
    reason: Reason,
    all_: All = False,
    died_of: Died = None,
    type_: OfType = None,
    dry_run: DryRun = False,
    actor: Actor = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Remove dead letters for good, with their tasks and payloads; the ids may be used again.

    Parameters
    ----------
    names
        Ids of tasks, or entries of letters, as `dead list` prints them.
    """
    check_reason(reason)
    _check_choice(names, every=all_, narrowed=died_of is not None or type_ is not None)

    who = acting(actor)

    async def act(desk: Desk) -> tuple[list[DeadLetter], list[bool]]:
        letters = await _chosen(desk.client, names, died_of, type_)
        if dry_run or not letters:
            return letters, []
        await desk.record(who, "dead.purge", "", reason, None, {"letters": [letter.key for letter in letters]})
        return letters, await desk.client.purge(letters, reason, who.name)

    letters, answers = at_desk(flags.read(), act)
    if flags.json:
        print_json({"dry_run": dry_run, "letters": [described(each) for each in letters], "removed": sum(answers)})
    if dry_run:
        note(f"Nothing was changed. It would remove {_count(len(letters))} for good.")
    else:
        note(f"Removed {_count(sum(answers))}.")
    return exit_codes.OK


def log(*, limit: Annotated[int, Parameter(help="How many at most.")] = 100, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show who sent dead tasks again or removed them, when and why, newest first."""
    operations = asyncio.run(with_client(flags.read(), lambda client: client.operations(limit)))
    if flags.json:
        print_json({"operations": [operation._asdict() for operation in operations]})
        return exit_codes.OK
    from datetime import UTC, datetime

    from nexus_sched.cli.output import console

    for each in operations:
        at = datetime.fromtimestamp(each.at_ms / 1_000, UTC).isoformat(timespec="seconds")
        actor = each.actor or "somebody"
        console().print(
            f"{at}  {each.kind} of {_count(each.letters)} by {actor}: {each.reason}", markup=False, soft_wrap=True
        )
    if not operations:
        note("Nothing was done to dead letters.")
    return exit_codes.OK


def _check_choice(names: tuple[str, ...], *, every: bool, narrowed: bool) -> None:
    if bool(names) == every:
        raise InvalidInput("name tasks, or say --all; not both")
    if narrowed and not every:
        raise InvalidInput("--died-of and --type narrow --all; they say nothing about names")


async def _chosen(
    client: AsyncClient, names: tuple[str, ...], died_of: str | None, task_type: str | None
) -> list[DeadLetter]:
    if not names:
        return await client.dead_letters(SEARCH_MAX, reason=died_of, task_type=task_type)
    return await find(client, names)


def _rows(letters: list[DeadLetter], answers: list[Redrive]) -> list[tuple[dict[str, object], Redrive]]:
    return [(described(letter), answer) for letter, answer in zip(letters, answers, strict=False)]


def _count(number: int) -> str:
    return "1 dead letter" if number == 1 else f"{number} dead letters"
