"""What is kept, over HTTP: dead letters, and the audit trail."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from nexus_sched.control.record import AuditRecord, decode_record
from nexus_sched.gateway.http.bodies import LettersRequest
from nexus_sched.gateway.http.routing import CHANGE, FIND, AnyRequest, DryRun, Limit, actor_of, problems
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.http.views import AuditPage, LetterAnswer, LettersAnswer, LettersPage, LetterView
from nexus_sched.runtime.ports import AuditLine, LetterKey

FIRST = "0-0"
Cursor = Annotated[str, QueryParameter(pattern="^[0-9]{1,15}-[0-9]{1,9}$", description="Of the page before.")]
UNREADABLE = "unreadable"


class RecordRoutes:
    """`/v1/dead-letters` and `/v1/audit`."""

    def __init__(self, services: Services) -> None:
        self._desk = services.desk
        self._store = services.pool.store
        self._pool = services.pool

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        change, find = problems(CHANGE), problems(FIND)
        return [
            get("/v1/dead-letters", operation_id="deadLetters", responses=find)(self.letters),
            post("/v1/dead-letters:redrive", status_code=200, operation_id="redrive", responses=change)(self.redrive),
            post("/v1/dead-letters:purge", status_code=200, operation_id="purge", responses=change)(self.purge),
            get("/v1/audit", operation_id="audit", responses=find)(self.audit),
        ]

    async def letters(
        self,
        cursor: Cursor = FIRST,
        limit: Limit = 100,
    ) -> LettersPage:
        """Tasks that will not run again unless somebody wants them to, oldest first."""
        await self._pool.client.open()
        found = await self._store.dead_letters(cursor, limit)
        rows = [
            LetterView(
                entry=each.entry,
                task_id=each.task_id,
                attempt=each.attempt,
                reason=each.reason,
                worker=each.worker,
                detail=each.detail,
            )
            for each in found
        ]
        return LettersPage(letters=rows, cursor=rows[-1].entry if len(rows) >= limit else None)

    async def redrive(
        self, request: AnyRequest, data: JSONBody[LettersRequest], dry_run: DryRun = False
    ) -> LettersAnswer:
        """Send dead tasks again, each exactly once, under its id and with all its attempts."""
        keys = await self._prepare(request, data, "dead.redrive", dry_run)
        if dry_run:
            return _answer(keys, ["would be sent again"] * len(keys), dry_run)
        told = await self._store.redrive(keys, data.reason, actor_of(request).name)
        return _answer(keys, [each.name.lower().replace("_", "-") for each in told], dry_run)

    async def purge(
        self, request: AnyRequest, data: JSONBody[LettersRequest], dry_run: DryRun = False
    ) -> LettersAnswer:
        """Remove dead letters for good, with their tasks and payloads."""
        keys = await self._prepare(request, data, "dead.purge", dry_run)
        if dry_run:
            return _answer(keys, ["would be removed"] * len(keys), dry_run)
        told = await self._store.purge(keys, data.reason, actor_of(request).name)
        return _answer(keys, ["removed" if each else "gone" for each in told], dry_run)

    async def audit(
        self,
        cursor: Annotated[int, QueryParameter(ge=0, le=2**53, description="Of the page before; 0 for the first.")] = 0,
        limit: Limit = 100,
    ) -> AuditPage:
        """Who changed what, when and why, oldest first."""
        lines = await self._desk.trail.page(cursor, limit)
        head = await self._desk.trail.head()
        records = [record for line in lines if (record := _record(line)) is not None]
        return AuditPage(records=records, cursor=lines[-1].number if len(lines) == limit else None, head=head.number)

    async def _prepare(
        self, request: AnyRequest, data: JSONBody[LettersRequest], action: str, dry_run: bool
    ) -> list[LetterKey]:
        keys = [LetterKey(each.entry, each.task_id) for each in data.letters]
        await self._pool.client.open()
        if not dry_run:
            await self._desk.record(actor_of(request), action, "", data.reason, None, {"letters": keys})
        return keys


def _answer(keys: list[LetterKey], told: list[str], dry_run: bool) -> LettersAnswer:
    rows = [
        LetterAnswer(entry=key.entry, task_id=key.task_id, status=status)
        for key, status in zip(keys, told, strict=True)
    ]
    return LettersAnswer(dry_run=dry_run, letters=rows)


def _record(line: AuditLine) -> AuditRecord | None:
    """A record as it is kept; `None` for one that cannot be read, which `audit verify` finds."""
    try:
        return decode_record(line.record)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
