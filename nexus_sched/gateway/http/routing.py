"""Small things that all routes share: documented problems, who asks, entity tags, cursors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from litestar import Request
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter

from nexus_sched.control.record import Actor, hash_of
from nexus_sched.errors import PreconditionFailed
from nexus_sched.gateway.access.authority import Principal
from nexus_sched.gateway.http.door import PRINCIPAL
from nexus_sched.gateway.http.problems import MEDIA_TYPE, Problem

AnyRequest = Request[Any, Any, Any]

DryRun = Annotated[bool, QueryParameter(description="Only say what it would do.")]
Limit = Annotated[int, QueryParameter(ge=1, le=1_000, description="How many at most.")]
IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", max_length=200, description="The ETag of what is to be changed, as it was read."),
]
Why = Annotated[str, QueryParameter(min_length=1, max_length=500, description="Why; it is kept in the audit trail.")]

ALWAYS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
FIND = (*ALWAYS, HTTPStatus.NOT_FOUND)
CHANGE = (
    *FIND,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def problems(statuses: tuple[HTTPStatus, ...]) -> dict[int, ResponseSpec]:
    """What a route may answer besides what it is for."""
    return {
        status.value: ResponseSpec(
            data_container=Problem, media_type=MEDIA_TYPE, description=status.phrase, generate_examples=False
        )
        for status in statuses
    }


def principal_of(request: AnyRequest) -> Principal:
    """Who asks."""
    principal: Principal = request.scope["state"][PRINCIPAL]
    return principal


def actor_of(request: AnyRequest) -> Actor:
    """Who asks, as the audit trail remembers it."""
    principal = principal_of(request)
    return Actor(principal.name, f"api {principal.address}")


def etag_of(value: object) -> str:
    """The entity tag of what was read."""
    return f'"{hash_of(value)[:32]}"'


def check_match(if_match: str | None, value: object) -> None:
    """Raises `PreconditionFailed` if the caller has read something else."""
    if if_match is not None and if_match != "*" and etag_of(value) not in [tag.strip() for tag in if_match.split(",")]:
        raise PreconditionFailed("it is not what it was when you read it: read it again (If-Match)")
