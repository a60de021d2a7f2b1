"""Overrides over HTTP: what people decide for a while about a task, or all tasks of a type."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from nexus_sched.control import overrides
from nexus_sched.control.views import OverrideChange, OverrideView
from nexus_sched.errors import InvalidInput
from nexus_sched.gateway.http.bodies import OverrideRequest
from nexus_sched.gateway.http.routing import (
    CHANGE,
    FIND,
    AnyRequest,
    DryRun,
    IfMatch,
    Why,
    actor_of,
    check_match,
    etag_of,
    problems,
)
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.http.views import OverridesView
from nexus_sched.model.overrides import TASK, TYPE
from nexus_sched.units import parse_duration_ms

OfType = Annotated[str, QueryParameter(max_length=200, description="The type that it is for.")]
OfTask = Annotated[str, QueryParameter(max_length=128, description="Or the task.")]
Effect = Annotated[
    str,
    QueryParameter(
        max_length=140, description="Which one, if there are several: pin, avoid=WORKER, priority, estimate or factor."
    ),
]


class OverrideRoutes:
    """`/v1/overrides`."""

    def __init__(self, services: Services) -> None:
        self._desk = services.desk
        self._picture = services.picture

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        change, find = problems(CHANGE), problems(FIND)
        return [
            get("/v1/overrides", operation_id="overrides", responses=find)(self.overrides),
            post("/v1/overrides", status_code=200, operation_id="override", responses=change)(self.override),
            delete("/v1/overrides", status_code=200, operation_id="endOverride", responses=change)(self.end_override),
        ]

    async def overrides(self) -> Response[OverridesView]:
        """What people decided for a while and that is in force: pins, avoidances, priorities, estimates."""
        rows = await self._rows()
        view = OverridesView(overrides=rows, stale=self._picture.stale)
        return Response(view, headers={"ETag": etag_of(_tagged(rows))})

    async def override(
        self, request: AnyRequest, data: JSONBody[OverrideRequest], dry_run: DryRun = False, if_match: IfMatch = None
    ) -> OverrideChange:
        """Let your will count for a type or a task until it expires.

        `pin` it to a worker, `avoid` one, raise its `priority`; or let your `estimate` or `factor` for a type win over
        the predictor's.
        """
        actor, scope = actor_of(request), _scope(data.type or "", data.task or "")
        for_ms = parse_duration_ms(data.for_)
        command = overrides.addition_of(scope, _effect(data), for_ms, data.reason, actor.name)
        await self._check(if_match)
        return await overrides.add(self._desk, actor, command, dry_run=dry_run)

    async def end_override(
        self,
        request: AnyRequest,
        reason: Why,
        type: OfType = "",
        task: OfTask = "",
        effect: Effect = "",
        dry_run: DryRun = False,
        if_match: IfMatch = None,
    ) -> OverrideChange:
        """End an override before its time."""
        scope = _scope(type, task)
        await self._check(if_match)
        return await overrides.remove(self._desk, actor_of(request), scope, effect, reason, dry_run=dry_run)

    async def _check(self, if_match: str | None) -> None:
        if if_match is not None:
            check_match(if_match, _tagged(await self._rows()))

    async def _rows(self) -> list[OverrideView]:
        return overrides.overrides_of(await self._picture.fresh())


def _tagged(rows: list[OverrideView]) -> object:
    """What of overrides people decide about; the time they have left passes by itself."""
    return [(row.scope, row.effect, row.reason, row.actor, row.until_ms) for row in rows]


def _scope(task_type: str, task_id: str) -> tuple[str, str]:
    """Scope and subject. Raises `InvalidInput` unless it is one of the two."""
    if bool(task_type) == bool(task_id):
        raise InvalidInput("an override is for a type or for a task: name one of the two")
    return overrides.read_scope(f"{TYPE}={task_type}" if task_type else f"{TASK}={task_id}")


def _effect(data: OverrideRequest) -> tuple[str, str]:
    """Name and value of what is asked for. Raises `InvalidInput` unless it is one thing."""
    found = [(name, str(value)) for name in overrides.ALL_EFFECTS if (value := getattr(data, name)) is not None]
    if len(found) != 1:
        raise InvalidInput(f"an override does one thing: give one of {', '.join(overrides.ALL_EFFECTS)}")
    return found[0]
