"""`/metrics`: what Prometheus scrapes."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter

from nexus_sched.gateway.http.routing import FIND, problems
from nexus_sched.gateway.http.services import Services


class MetricsRoutes:
    """One route."""

    def __init__(self, services: Services) -> None:
        self._metrics = services.metrics

    def routes(self) -> list[HTTPRouteHandler]:
        """The handlers."""
        find = problems(FIND)
        return [get("/metrics", operation_id="metrics", media_type="text/plain", responses=find)(self.metrics)]

    async def metrics(self, accept: Annotated[str, HeaderParameter(name="accept")] = "*/*") -> Response[bytes]:
        """All metrics of the pool, in Prometheus' text format or as OpenMetrics."""
        text, content_type = await self._metrics.scrape(accept)
        return Response(text, headers={"content-type": content_type})
