"""The application: all routes, the guard that looks up who may use them, and the errors as answers."""

from __future__ import annotations

from typing import Any

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import ASGIApp

from nexus_sched.errors import NexusError
from nexus_sched.gateway.access.authority import require
from nexus_sched.gateway.access.roles import EVERYBODY
from nexus_sched.gateway.access.table import HTTP_ROUTES
from nexus_sched.gateway.http.config_routes import ConfigRoutes
from nexus_sched.gateway.http.door import PRINCIPAL, Door
from nexus_sched.gateway.http.health_routes import HealthRoutes
from nexus_sched.gateway.http.metrics_routes import MetricsRoutes
from nexus_sched.gateway.http.override_routes import OverrideRoutes
from nexus_sched.gateway.http.pool_routes import PoolRoutes
from nexus_sched.gateway.http.problems import on_defect, on_http_error, on_nexus_error
from nexus_sched.gateway.http.record_routes import RecordRoutes
from nexus_sched.gateway.http.schema import SchemaRoutes
from nexus_sched.gateway.http.services import Services
from nexus_sched.gateway.http.stream_routes import StreamRoutes
from nexus_sched.gateway.http.task_routes import TaskRoutes
from nexus_sched.gateway.http.worker_routes import WorkerRoutes


def build_app(services: Services) -> ASGIApp:
    """What the server serves."""
    app = Litestar(
        routes(services),
        guards=[may],
        exception_handlers={
            NexusError: on_nexus_error,
            HTTPException: on_http_error,
            Exception: on_defect,
        },
        openapi_config=None,
        logging_config=None,
        request_max_body_size=services.config.http.body_bytes_max,
    )
    return Door(app, services)


def routes(services: Services) -> list[HTTPRouteHandler]:
    """All of them."""
    kinds = (
        *(HealthRoutes, MetricsRoutes, TaskRoutes, WorkerRoutes),
        *(PoolRoutes, OverrideRoutes, RecordRoutes, ConfigRoutes, StreamRoutes),
    )
    served = [handler for kind in kinds for handler in kind(services).routes()]
    return [*served, *SchemaRoutes(served).routes()]


async def may(connection: ASGIConnection[BaseRouteHandler, Any, Any, Any], _: BaseRouteHandler) -> None:
    """The guard of every route. Raises `Forbidden` if the table does not let the principal use it.

    It awaits nothing, and is a coroutine because litestar sends any other guard through a thread, on every request.
    """
    method, path = connection.scope.get("method", ""), str(connection.scope["path_template"])
    group = HTTP_ROUTES.get((str(method), path))
    if group is EVERYBODY:
        return
    require(connection.scope["state"][PRINCIPAL], group, f"{method} {path}")
