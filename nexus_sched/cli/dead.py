"""`nexus-sched dead list|show`: the tasks that will not run again unless somebody wants them to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.errors import NexusError
from nexus_sched.runtime.ports import DeadLetter

if TYPE_CHECKING:
    from nexus_sched.client import AsyncClient
    from nexus_sched.config.schema import Config

SEARCH_MAX = 1_000_000
PAYLOAD_LENGTH_SHOWN = 400
DETAIL_LENGTH_SHOWN = 60

Value = TypeVar("Value")
OfReason = Annotated[str | None, Parameter(name="--reason", help="Only those that died of this.", show_default=False)]
OfType = Annotated[str | None, Parameter(name="--type", help="Only tasks of this type.", show_default=False)]
Limit = Annotated[int, Parameter(help="How many at most.")]


class LetterUnknown(NexusError):
    """No dead letter of this task, or under this entry, is there."""

    code = "LETTER_UNKNOWN"
    exit_code = exit_codes.NOT_FOUND


def list_letters(
    *, reason: OfReason = None, type_: OfType = None, limit: Limit = 100, flags: ConfigFlags = NO_FLAGS
) -> int:
    """List the dead letters, oldest first."""
    found = asyncio.run(
        with_client(flags.read(), lambda client: client.dead_letters(limit, reason=reason, task_type=type_))
    )
    if flags.json:
        print_json({"letters": [described(letter) for letter in found]})
        return exit_codes.OK
    _print_list(found)
    if len(found) == limit:
        note(f"The first {limit}; --limit shows more.")
    return exit_codes.OK


def show(name: str, /, *, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show one dead letter with what the task asked for and its payload.

    Parameters
    ----------
    name
        The id of the task, or the entry of the letter where there is none, as `dead list` prints them.
    """
    letter, envelope = asyncio.run(with_client(flags.read(), lambda client: _show(client, name)))
    facts = described(letter) | _contents(envelope)
    if flags.json:
        print_json(facts)
        return exit_codes.OK
    for fact, value in facts.items():
        console().print(f"{fact:<15}{value}", markup=False, soft_wrap=True)
    return exit_codes.OK


async def with_client(config: Config, act: Callable[[AsyncClient], Coroutine[Any, Any, Value]]) -> Value:
    """What `act` gives, with a client of the configured pool."""
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.client import AsyncClient

    async with AsyncClient(store=submitter_store(config)) as client:
        return await act(client)


async def find(client: AsyncClient, names: tuple[str, ...]) -> list[DeadLetter]:
    """The letters of these tasks or under these entries. Raises `LetterUnknown` unless each is there."""
    wanted = dict.fromkeys(names)
    found = [
        letter
        for letter in await client.dead_letters(SEARCH_MAX)
        if letter.entry in wanted or (letter.task_id and letter.task_id in wanted)
    ]
    known = {name for letter in found for name in letter.key}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise LetterUnknown(f"no dead letter of {missing[0]}; see `nexus-sched dead list`")
    return found


def described(letter: DeadLetter) -> dict[str, object]:
    """A letter as JSON shows it."""
    at_ms = int(letter.entry.partition("-")[0])
    died_at = datetime.fromtimestamp(at_ms / 1_000, UTC) if at_ms < 2**42 else None  # whoever adds one may choose it
    return letter._asdict() | {"died_at": None if died_at is None else died_at.isoformat(timespec="milliseconds")}


async def _show(client: AsyncClient, name: str) -> tuple[DeadLetter, bytes | None]:
    letter = (await find(client, (name,)))[-1]
    return letter, await client.envelope(letter.task_id) if letter.task_id else None


def _contents(envelope: bytes | None) -> dict[str, object]:
    import msgspec

    from nexus_sched.client.letters import payload_of, spec_of

    if envelope is None:
        return {"spec": None, "payload": None}
    spec = spec_of(envelope)
    payload = payload_of(envelope)
    shown: dict[str, object] = {"spec": None if spec is None else msgspec.to_builtins(spec)}
    try:
        value = msgspec.msgpack.decode(payload) if payload and (spec is None or spec.codec == "msgpack") else None
        text = msgspec.json.encode(value).decode() if value is not None else payload.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, ValueError):
        text = "base64 " + base64.b64encode(payload).decode()
    cut = len(text) > PAYLOAD_LENGTH_SHOWN
    return shown | {"payload": text[:PAYLOAD_LENGTH_SHOWN] + ("..." if cut else ""), "payload_bytes": len(payload)}


def _print_list(letters: list[DeadLetter]) -> None:
    from rich.table import Table

    if not letters:
        note("No dead letters.")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("entry", "task", "reason", "attempt", "worker", "detail"):
        table.add_column(title, justify="right" if title == "attempt" else "left", overflow="fold")
    for letter in letters:
        detail = letter.detail[:DETAIL_LENGTH_SHOWN]
        table.add_row(letter.entry, letter.task_id or "-", letter.reason, str(letter.attempt), letter.worker, detail)
    console().print(table)
