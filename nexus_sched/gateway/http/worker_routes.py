"""Workers over HTTP: see them, decide about them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from nexus_sched.control import fleet
from nexus_sched.control.views import WorkerChange, WorkerRow
from nexus_sched.control.workers import Decision, about, decide
from nexus_sched.gateway.http.bodies import Because
from nexus_sched.gateway.http.routing import (
    CHANGE,
    FIND,
    AnyRequest,
    DryRun,
    IfMatch,
    Limit,
    actor_of,
    check_match,
    etag_of,
    problems,
)
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.http.views import WorkersPage
from nexus_sched.model.answer import WorkerAnswer
from nexus_sched.model.command import CordonWorker, EvictWorker, ResumeWorker, TripWorker
from nexus_sched.model.ids import check_worker_id


class WorkerRoutes:
    """`/v1/workers`."""

    def __init__(self, services: Services) -> None:
        self._desk = services.desk
        self._picture = services.picture

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        change, find = problems(CHANGE), problems(FIND)
        one = "/v1/workers/{worker:str}"
        decisions = {
            "cordon": self.cordon,
            "drain": self.drain,
            "resume": self.resume,
            "evict": self.evict,
            "breaker": self.breaker,
        }
        return [
            get("/v1/workers", operation_id="workers", responses=find)(self.workers),
            get(one, operation_id="worker", responses=find)(self.worker),
            *(
                post(f"{one}/{name}", status_code=200, operation_id=name, responses=change)(handler)
                for name, handler in decisions.items()
            ),
        ]

    async def workers(
        self,
        cursor: Annotated[
            str, QueryParameter(pattern="^[A-Za-z0-9._:-]{0,128}$", description="Of the page before.")
        ] = "",
        limit: Limit = 100,
    ) -> WorkersPage:
        """The workers by name, where each stands and what it holds."""
        found = await fleet.page(self._desk.store, await self._picture.fresh(), cursor, limit)
        return WorkersPage(
            workers=[msgspec.convert(row, WorkerRow, from_attributes=True) for row in found.workers],
            live=found.live,
            stale=found.stale,
            cursor=found.cursor,
        )

    async def worker(self, worker: FromPath[str]) -> Response[WorkerAnswer]:
        """One worker: where it stands and why, what it holds, and when it will be free."""
        answer = await about(self._desk.client, worker)
        return Response(answer, headers={"ETag": etag_of(_tagged(answer))})

    async def cordon(
        self,
        request: AnyRequest,
        worker: FromPath[str],
        data: JSONBody[Because],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> WorkerChange:
        """Give a worker nothing new; it keeps what it has."""
        actor = actor_of(request)
        command = CordonWorker(check_worker_id(worker), False, data.reason, actor.name)
        return await self._decide(request, command, dry_run, if_match)

    async def drain(
        self,
        request: AnyRequest,
        worker: FromPath[str],
        data: JSONBody[Because],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> WorkerChange:
        """Give a worker nothing new and take back what it has not started; the answer says when it will be free."""
        actor = actor_of(request)
        command = CordonWorker(check_worker_id(worker), True, data.reason, actor.name)
        return await self._decide(request, command, dry_run, if_match)

    async def resume(
        self,
        request: AnyRequest,
        worker: FromPath[str],
        data: JSONBody[Because],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> WorkerChange:
        """Let a worker take tasks again, whatever had stopped it."""
        command = ResumeWorker(check_worker_id(worker), data.reason, actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match)

    async def evict(
        self,
        request: AnyRequest,
        worker: FromPath[str],
        data: JSONBody[Because],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> WorkerChange:
        """Empty a worker: as a drain, and what it runs is stopped and runs elsewhere."""
        command = EvictWorker(check_worker_id(worker), data.reason, actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match)

    async def breaker(
        self,
        request: AnyRequest,
        worker: FromPath[str],
        data: JSONBody[Because],
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> WorkerChange:
        """Open a worker's breaker, as if too many of its runs had failed; `:resume` closes it."""
        command = TripWorker(check_worker_id(worker), data.reason, actor_of(request).name)
        return await self._decide(request, command, dry_run, if_match)

    async def _decide(
        self, request: AnyRequest, command: Decision, dry_run: bool, if_match: str | None
    ) -> WorkerChange:
        if if_match is not None:
            check_match(if_match, _tagged(await about(self._desk.client, command.worker)))
        return await decide(self._desk, actor_of(request), command, dry_run=dry_run)


def _tagged(answer: WorkerAnswer) -> object:
    """What of a worker people decide about; its tasks come and go."""
    return (answer.worker, answer.standing, answer.standing_reason, answer.breaker.state, answer.slots)
