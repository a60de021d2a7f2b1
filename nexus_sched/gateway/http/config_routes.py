"""The configuration over HTTP: what is in force, and reading it again."""

from __future__ import annotations

from http import HTTPStatus

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from nexus_sched.control.record import hash_of
from nexus_sched.gateway.http.bodies import Because
from nexus_sched.gateway.http.routing import (
    CHANGE,
    FIND,
    AnyRequest,
    DryRun,
    IfMatch,
    actor_of,
    check_match,
    etag_of,
    problems,
)
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.http.views import ConfigView, ReloadAnswer


class ConfigRoutes:
    """`/v1/config`."""

    def __init__(self, services: Services) -> None:
        self._reloading = services.reloading

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        reload = {**problems(CHANGE), **problems((HTTPStatus.UNPROCESSABLE_ENTITY,))}
        return [
            get("/v1/config", operation_id="config", responses=problems(FIND))(self.config),
            post("/v1/config:reload", status_code=200, operation_id="reload", responses=reload)(self.reload),
        ]

    async def config(self) -> Response[ConfigView]:
        """The configuration that the gateway runs with; passwords are masked."""
        values = self._reloading.written()
        return Response(ConfigView(values=values, digest=hash_of(values)), headers={"ETag": etag_of(values)})

    async def reload(
        self, request: AnyRequest, data: JSONBody[Because], dry_run: DryRun = False, if_match: IfMatch = None
    ) -> ReloadAnswer:
        """Read the configuration again, here and in the scheduler. If anything is wrong with it, nothing changes."""
        check_match(if_match, self._reloading.written())
        hot, cold = await self._reloading.reload(actor_of(request), data.reason, dry_run=dry_run)
        return ReloadAnswer(dry_run=dry_run, changed=hot, at_next_start=cold)
