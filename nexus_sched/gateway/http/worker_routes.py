"""Workers over HTTP: see them, decide about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from nexus_sched.control import fleet
from nexus_sched.control.views import WorkerChange, WorkerRow
from nexus_sched.control.workers import DECISIONS, about, decide
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
        return [
            get("/v1/workers", operation_id="workers", responses=find)(self.workers),
            get(one, operation_id="worker", responses=find)(self.worker),
            *(
                post(f"{one}/{verb}", status_code=200, operation_id=verb, responses=change)(self._handler(verb))
                for verb in DECISIONS
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

    def _handler(self, verb: str) -> Callable[..., Awaitable[WorkerChange]]:
        """The handler of one decision; it is documented by the words of the decision."""

        async def decided(
            request: AnyRequest,
            worker: FromPath[str],
            data: JSONBody[Because],
            dry_run: DryRun = False,
            if_match: IfMatch = None,
        ) -> WorkerChange:
            actor = actor_of(request)
            command = DECISIONS[verb].command(check_worker_id(worker), data.reason, actor.name)
            if if_match is not None:
                check_match(if_match, _tagged(await about(self._desk.client, worker)))
            return await decide(self._desk, actor, command, dry_run=dry_run)

        decided.__doc__ = DECISIONS[verb].says
        return decided


def _tagged(answer: WorkerAnswer) -> object:
    """What of a worker people decide about; its tasks come and go."""
    return (answer.worker, answer.standing, answer.standing_reason, answer.breaker.state, answer.slots)
