"""Errors as answers: `application/problem+json` (RFC 9457) with the stable codes of `nexus_sched.errors`.

Law: what is not an expected error becomes a plain 500 without a word of what it was; the log has the rest.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Struct

from nexus_sched.errors import ConfigInvalid, NexusError, QueueFull, RateLimited
from nexus_sched.units import MS_PER_S

AnyRequest = Request[Any, Any, Any]

log = structlog.get_logger("nexus_sched.gateway")

MEDIA_TYPE = "application/problem+json"
DETAIL_LENGTH_MAX = 1_000
TYPE_PREFIX = "urn:nexus-sched:error:"

# What an error means to a caller, by its code. What is not here is the gateway's own fault.
STATUSES: dict[str, HTTPStatus] = {
    "INVALID_INPUT": HTTPStatus.BAD_REQUEST,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "NOT_ALLOWED": HTTPStatus.FORBIDDEN,
    "TASK_UNKNOWN": HTTPStatus.NOT_FOUND,
    "WORKER_UNKNOWN": HTTPStatus.NOT_FOUND,
    "POOL_UNKNOWN": HTTPStatus.NOT_FOUND,
    "OVERRIDE_UNKNOWN": HTTPStatus.NOT_FOUND,
    "ROUTE_UNKNOWN": HTTPStatus.NOT_FOUND,
    "METHOD_NOT_ALLOWED": HTTPStatus.METHOD_NOT_ALLOWED,
    "CONFLICT": HTTPStatus.CONFLICT,
    "PRECONDITION_FAILED": HTTPStatus.PRECONDITION_FAILED,
    "TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "MEDIA_TYPE": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "CONFIG_INVALID": HTTPStatus.UNPROCESSABLE_ENTITY,
    "RATE_LIMITED": HTTPStatus.TOO_MANY_REQUESTS,
    "BUSY": HTTPStatus.SERVICE_UNAVAILABLE,
    "TOO_MANY": HTTPStatus.SERVICE_UNAVAILABLE,
    "RESULT_PENDING": HTTPStatus.CONFLICT,
    "NO_ANSWER": HTTPStatus.SERVICE_UNAVAILABLE,
    "STORE_UNREACHABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "STORE_LOADING": HTTPStatus.SERVICE_UNAVAILABLE,
    "STORE_READ_ONLY": HTTPStatus.SERVICE_UNAVAILABLE,
    "STORE_OUT_OF_MEMORY": HTTPStatus.SERVICE_UNAVAILABLE,
    "STORE_NOT_PERSISTING": HTTPStatus.SERVICE_UNAVAILABLE,
}
# Codes of answers that the HTTP library makes before any code of ours runs.
_BY_STATUS = {
    HTTPStatus.NOT_FOUND: "ROUTE_UNKNOWN",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "TOO_LARGE",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "MEDIA_TYPE",
}


class Problem(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why a request was refused, or could not be served."""

    type: str  # a name for the kind of problem
    title: str
    status: int
    code: str  # stable; docs/reference/errors.md
    detail: str
    problems: list[str] = []  # every single finding, where there are several
    retry_after_ms: int | None = None


def problem_of(error: NexusError) -> Problem:
    """What a caller is told of an expected error."""
    status = STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    retry_after_ms = error.retry_after_ms if isinstance(error, QueueFull | RateLimited) else None
    found = error.problems if isinstance(error, ConfigInvalid) else []
    return _problem(status, error.code, str(error), found, retry_after_ms)


def answer(problem: Problem) -> Response[bytes]:
    """The response that carries it."""
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers_of(problem)
    )


def headers_of(problem: Problem) -> dict[str, str]:
    """What the head of the answer says as well."""
    headers = {"Cache-Control": "no-store"}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after_ms / MS_PER_S)))
    elif problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return headers


def on_nexus_error(_: AnyRequest, error: NexusError) -> Response[bytes]:
    """An expected error."""
    problem = problem_of(error)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", code=error.code, error=str(error))
    return answer(problem)


def on_http_error(_: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the HTTP library refuses: no such route or method, a body that cannot be read or is too large."""
    status = HTTPStatus(error.status_code)
    code = _BY_STATUS.get(status, "INVALID_INPUT" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "INTERNAL")
    said = [f"{each.get('key', '')}: {each.get('message', '')}" for each in _findings(error)]
    detail = "; ".join(said) or error.detail or status.phrase
    found = answer(_problem(status, code, detail, [], None))
    for name, value in (error.headers or {}).items():
        found.headers[name] = value
    return found


def on_defect(request: AnyRequest, error: Exception) -> Response[bytes]:
    """What nobody expected."""
    if isinstance(error, RecursionError | UnicodeError):  # of a hostile body, while it was decoded
        return answer(_problem(HTTPStatus.BAD_REQUEST, "INVALID_INPUT", "the request cannot be read", [], None))
    log.error("request failed", route=request.scope.get("path_template", ""), exc_info=error)
    return answer(_problem(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "the gateway's log says more", [], None))


def _findings(error: HTTPException) -> list[dict[str, object]]:
    extra = error.extra
    return [each for each in extra if isinstance(each, dict)] if isinstance(extra, list) else []


def _problem(status: HTTPStatus, code: str, detail: str, found: list[str], retry_after_ms: int | None) -> Problem:
    return Problem(
        type=TYPE_PREFIX + code,
        title=status.phrase,
        status=status.value,
        code=code,
        detail=detail[:DETAIL_LENGTH_MAX],
        problems=found,
        retry_after_ms=retry_after_ms,
    )
