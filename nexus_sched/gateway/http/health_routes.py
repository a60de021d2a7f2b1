"""Is it alive, is it ready, has it started: what a supervisor asks. `/livez` touches nothing."""

from __future__ import annotations

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from nexus_sched.gateway.http.services import Services


class HealthView(Struct, frozen=True):
    """Whether the gateway serves; `problems` by part if it does not."""

    ok: bool
    problems: dict[str, str] = {}


class HealthRoutes:
    """`/livez`, `/readyz`, `/startupz`."""

    def __init__(self, services: Services) -> None:
        self._health = services.health

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        return [
            get("/livez", operation_id="live", sync_to_thread=False)(self.live),
            get("/readyz", operation_id="ready", sync_to_thread=False)(self.ready),
            get("/startupz", operation_id="started", sync_to_thread=False)(self.started),
        ]

    def live(self) -> HealthView:
        """The process lives, since it answers."""
        return HealthView(True)

    def ready(self) -> Response[HealthView]:
        """Whether requests can be served now."""
        problems = self._health.problems()
        return _answer(HealthView(not problems and self._health.started, problems))

    def started(self) -> Response[HealthView]:
        """Whether everything has been started."""
        return _answer(HealthView(self._health.started))


def _answer(view: HealthView) -> Response[HealthView]:
    return Response(view, status_code=200 if view.ok else 503)
