"""The OpenAPI 3.1 document, made from the routes themselves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig

from nexus_sched.gateway.http.door import VERBS
from nexus_sched.version import VERSION


class SchemaRoutes:
    """`/openapi.json`. The document is made when it is first asked for."""

    def __init__(self, served: Sequence[HTTPRouteHandler]) -> None:
        self._served = served
        self._document = b""

    def routes(self) -> list[HTTPRouteHandler]:
        """The handler."""
        return [get("/openapi.json", operation_id="schema", sync_to_thread=False)(self.schema)]

    def schema(self) -> Response[bytes]:
        """This document."""
        if not self._document:
            self._document = msgspec.json.encode(document(self._served))
        return Response(self._document, media_type="application/vnd.oai.openapi+json")


def document(served: Sequence[HTTPRouteHandler]) -> dict[str, object]:
    """The OpenAPI document of these routes."""
    config = OpenAPIConfig(title="nexus-sched", version=VERSION, use_handler_docstrings=True)
    tree = Litestar(list(served), openapi_config=config).openapi_schema.to_schema()
    paths = {_as_called(path): item for path, item in tree["paths"].items() if not path.startswith("/schema")}
    return {**tree, "paths": paths}


def _as_called(path: str) -> str:
    """`/v1/tasks/{task_id}/boost` is called as `/v1/tasks/{task_id}:boost`."""
    head, _, tail = path.rpartition("/")
    return f"{head}:{tail}" if tail in VERBS else path
