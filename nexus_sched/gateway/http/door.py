"""The door of the API, in front of every route: who comes in, by which name, and what every answer says.

Laws
* Only names on the list may be called (Host), and only pages on the list may call (Origin): a page that somebody
  else's server made must not reach a gateway on this machine.
* Who asks is decided before anything of the body is read.
* Every answer carries the security headers, errors included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from nexus_sched.errors import Forbidden, NexusError, RateLimited
from nexus_sched.gateway.access.authority import LOOPBACK, Principal, is_loopback
from nexus_sched.gateway.access.limiter import Quota
from nexus_sched.gateway.access.table import OPEN_PATHS
from nexus_sched.gateway.http.problems import MEDIA_TYPE, headers_of, problem_of
from nexus_sched.gateway.http.services import Services
from nexus_sched.units import MS_PER_S

PRINCIPAL = "principal"  # in the state of a request
_VERB = re.compile(r"(/v1/(?:tasks|workers)/[^/]+):([a-z-]+)")
VERBS = frozenset(("boost", "reassign", "retry", "cordon", "drain", "resume", "evict", "breaker"))

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
CACHE_CONTROL = (b"cache-control", b"no-store")


class Door:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._authority = services.authority
        self._limiter = services.limiter
        http = services.config.http
        self._headers = SECURITY_HEADERS
        if http.tls_certificate_file is not None:
            self._headers += ((b"strict-transport-security", b"max-age=31536000"),)
        self._any_host = "*" in http.hosts
        self._hosts = frozenset(name.lower() for name in (*http.hosts, http.host, "localhost"))
        self._origins = frozenset(origin.lower().rstrip("/") for origin in http.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:  # a web socket: nothing here speaks it
            return

        extra: list[tuple[bytes, bytes]] = []

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                names = {name for name, _ in headers}
                headers += [pair for pair in (*self._headers, CACHE_CONTROL, *extra) if pair[0] not in names]
                message["headers"] = headers
            await send(message)

        try:
            principal = self._let_in(scope)
            if principal is not None and self._limiter.active:
                extra += headers_of_quota(await self._limiter.admit(_counted_as(principal)))
        except NexusError as error:
            if isinstance(error, RateLimited):
                after_s = max(1, math.ceil(error.retry_after_ms / MS_PER_S))
                extra += headers_of_quota(self._limiter.quota, after_s)
            await _refuse(error, send_on)
            return
        await self._app(scope, receive, send_on)

    def _let_in(self, scope: HTTPScope) -> Principal | None:
        """Who comes in; `None` for what everybody may ask. Raises a `NexusError` for those who must stay outside."""
        headers = _headers_of(scope["headers"])
        host = headers.get(b"host", "")
        self._check_host(host)
        self._check_origin(headers.get(b"origin"), host)
        path = scope["path"]
        if path in OPEN_PATHS:
            return None
        client = scope["client"]
        principal = self._authority.admit(headers.get(b"authorization"), client[0] if client else "")
        scope["state"][PRINCIPAL] = principal
        if scope["method"] == "POST":
            verb = _VERB.fullmatch(path)
            if verb is not None and verb[2] in VERBS:  # `/v1/tasks/ID:boost` is served by `/v1/tasks/ID/boost`
                scope["path"] = f"{verb[1]}/{verb[2]}"
                scope["raw_path"] = scope["path"].encode()
        return principal

    def _check_host(self, host: str) -> None:
        name = _name_of(host)
        if not (self._any_host or name in self._hosts or is_loopback(name)):
            raise Forbidden("this gateway is not called so: put the name of the Host header into `http.hosts`")

    def _check_origin(self, origin: str | None, host: str) -> None:
        if origin is None or origin.lower() in self._origins:
            return
        if urlsplit(origin.lower()).netloc != host.lower():
            raise Forbidden("pages of this origin may not call the gateway: see `http.origins`")


def headers_of_quota(quota: Quota, after_s: int | None = None) -> list[tuple[bytes, bytes]]:
    """`RateLimit` and `RateLimit-Policy`, as the IETF draft has them."""
    left = quota.left if after_s is None else 0
    return [
        (b"ratelimit", b'"default";r=%d;t=%d' % (left, quota.window_s if after_s is None else after_s)),
        (b"ratelimit-policy", b'"default";q=%d;w=%d' % (quota.limit, quota.window_s)),
    ]


def _counted_as(principal: Principal) -> str:
    """A client of the limit: a token, wherever it is used, or an address without one."""
    return principal.address if principal.name == LOOPBACK else principal.name


def _headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    wanted = {}
    for name, value in pairs:
        if name in (b"host", b"origin", b"authorization"):
            if name in wanted:
                raise Forbidden(f"the header {name.decode()} stands twice")
            wanted[name] = value.decode("latin-1")
    return wanted


def _name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() and not name.endswith(":") else host.lower()


async def _refuse(error: NexusError, send: Send) -> None:
    problem = problem_of(error)
    body = msgspec.json.encode(problem)
    headers = [(name.lower().encode(), value.encode()) for name, value in headers_of(problem).items()]
    headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    start: HTTPResponseStartEvent = {"type": "http.response.start", "status": problem.status, "headers": headers}
    end: HTTPResponseBodyEvent = {"type": "http.response.body", "body": body, "more_body": False}
    await send(start)
    await send(end)
