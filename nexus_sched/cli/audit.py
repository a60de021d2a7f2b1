"""`nexus-sched audit tail|search|export|verify|key`: who changed what and why, and whether that was tampered with."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.desk import audit_trail
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.control.public_keys import read_public_keys
from nexus_sched.control.record import AuditRecord, decode_record
from nexus_sched.control.trail import Trail
from nexus_sched.control.verify import TrailVerdict
from nexus_sched.control.verify import verify as verify_lines
from nexus_sched.errors import InvalidInput
from nexus_sched.runtime.ports import AuditLine
from nexus_sched.units import MS_PER_S

Made = TypeVar("Made")
Keys = Annotated[
    list[str],
    Parameter(
        name="--key",
        help="File with public keys, instead of `audit.public_keys_file`; may be repeated.",
        negative="",
        show_default=False,
    ),
]
NO_KEYS: list[str] = []  # never changed
Limit = Annotated[int, Parameter(help="How many at most.")]


def tail(*, limit: Limit = 20, flags: ConfigFlags = NO_FLAGS) -> int:
    """Show the newest changes, the newest one last."""

    async def newest(trail: Trail) -> list[AuditRecord]:
        number = (await trail.head()).number
        return [read_line(line) for line in await trail.page(max(0, number - limit), limit)]

    return _show(flags, _with_trail(flags, newest))


def search(
    words: str,
    /,
    *,
    actor: str | None = None,
    action: str | None = None,
    limit: Limit = 100,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Show the changes that are about something, the oldest first.

    Parameters
    ----------
    words
        Text that stands in the action, the subject, the reason or what was asked for; "" for anything.
    actor
        Only changes by this person.
    action
        Only changes of this kind, such as worker.drain.
    """

    async def matching(trail: Trail) -> list[AuditRecord]:
        found: list[AuditRecord] = []
        async for line in trail.lines():
            record = read_line(line)
            if matches(record, words, actor, action):
                found.append(record)
                if len(found) == limit:
                    break
        return found

    return _show(flags, _with_trail(flags, matching))


def export(file: Path, /, *, flags: ConfigFlags = NO_FLAGS) -> int:
    """Write the trail to a file, a record a line, so that `audit verify --from FILE` can look at it anywhere.

    Parameters
    ----------
    file
        The file to write; it must not exist.
    """

    async def written(trail: Trail) -> int:
        count = 0
        try:
            with file.open("xb") as stream:
                async for line in trail.lines():
                    stream.write(msgspec.json.encode(_Kept(*line)) + b"\n")
                    count += 1
        except OSError as error:
            raise InvalidInput(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from None
        return count

    count = _with_trail(flags, written)
    if flags.json:
        print_json({"records": count, "file": str(file)})
    note(f"{count} records written to {file}.")
    return exit_codes.OK


def verify(
    *,
    from_file: Annotated[Path | None, Parameter(name="--from")] = None,
    key: Keys = NO_KEYS,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Prove that no record was changed, cut out, put in or moved. Exits with code 9 if one was.

    With public keys it also proves who wrote the records: whatever stands behind the last signature is found as well.

    Parameters
    ----------
    from_file
        A file that `audit export` wrote, instead of the store.
    """
    config = flags.read()
    kept, files = config.audit.records_max, list(key)
    if not files and config.audit.public_keys_file is not None:
        files = [config.audit.public_keys_file]
    keys = read_public_keys(files)
    if from_file is not None:
        verdict = verify_lines(_lines_of(from_file), None, kept, keys)
    else:

        async def looked_over(trail: Trail) -> TrailVerdict:
            head = await trail.head()
            lines = [line async for line in trail.lines() if line.number <= head.number]
            return verify_lines(lines, head, kept, keys)

        verdict = _with_trail(flags, looked_over)
    if flags.json:
        print_json({"whole": verdict.whole, **msgspec.to_builtins(verdict)})
    for finding in verdict.findings:
        note(finding)
    _tell(verdict)
    return exit_codes.OK if verdict.whole else exit_codes.VERIFICATION_FAILED


def _tell(verdict: TrailVerdict) -> None:
    for name, use in verdict.keys.items():
        note(f"{use.records} records from {use.first} to {use.last} say that they are signed with the key {name}.")
    ending = "the trail has been tampered with, is damaged, or is not what these keys prove."
    if verdict.whole:
        ending = "the trail is whole" + (", and signed by these keys." if verdict.proven else ".")
    note(f"{verdict.records} records, {verdict.signed} of them signed: {ending}")


def key(file: Path, /, *, json: Annotated[bool, Parameter(name="--json", show_default=False)] = False) -> int:
    """Make a key to sign records with, for a gateway or a command line that makes changes.

    To rotate, make another one, add its public half to `audit.public_keys_file`, and name the new file in
    `audit.key_file` everywhere. The former public half stays as long as records are kept that it proves.

    Parameters
    ----------
    file
        Where the private half goes, for its owner only; the public one goes to FILE.pub. Neither may exist.
    json
        Print one JSON object instead of text for people.
    """
    from nexus_sched.control.signing import PUBLIC_SUFFIX, create_keys

    made = create_keys(file)
    public = f"{file}{PUBLIC_SUFFIX}"
    if json:
        print_json({"key": made.name, "private_file": str(file), "public_file": public})
    note(f"Key {made.name}: sign with audit.key_file = {file}, and verify with --key {public}.")
    return exit_codes.OK


class _Kept(msgspec.Struct):
    """One record in a file."""

    number: int
    record: bytes
    digest: str
    signature: str


def read_line(line: AuditLine) -> AuditRecord:
    """A record as it is kept. One that cannot be read is shown as such, not left out."""
    try:
        return decode_record(line.record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return AuditRecord(
            number=max(1, line.number),
            at_ms=0,
            actor="",
            source="",
            action="unreadable",
            subject="",
            reason=f"{error}; see `nexus-sched audit verify`",
            before="",
            after="",
            former="",
        )


def matches(record: AuditRecord, words: str, actor: str | None, action: str | None) -> bool:
    """Whether a record is one that somebody looks for."""
    if (actor is not None and record.actor != actor) or (action is not None and record.action != action):
        return False
    return any(words.lower() in text.lower() for text in (record.action, record.subject, record.reason, record.detail))


def _lines_of(file: Path) -> Iterator[AuditLine]:
    try:
        with file.open("rb") as stream:
            for number, blob in enumerate(stream, start=1):
                try:
                    kept = msgspec.json.decode(blob, type=_Kept)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise InvalidInput(f"{file}:{number}: {error}") from None
                yield AuditLine(kept.number, kept.record, kept.digest, kept.signature)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _with_trail(flags: ConfigFlags, act: Callable[[Trail], Awaitable[Made]]) -> Made:
    async def run() -> Made:
        trail = audit_trail(flags.read())
        try:
            return await act(trail)
        finally:
            await trail.close()

    return asyncio.run(run())


def _show(flags: ConfigFlags, records: list[AuditRecord]) -> int:
    if flags.json:
        print_json({"records": records})
        return exit_codes.OK
    out = console()
    for record in records:
        at = datetime.fromtimestamp(record.at_ms / MS_PER_S, UTC).isoformat(timespec="seconds")
        subject = f" {record.subject}" if record.subject else ""
        line = f"{record.number}  {at}  {record.action}{subject} by {record.actor or 'somebody'} ({record.source}): "
        out.print(line + record.reason, markup=False, soft_wrap=True)
    if not records:
        sys.stdout.flush()
        note("There is no such record.")
    return exit_codes.OK
