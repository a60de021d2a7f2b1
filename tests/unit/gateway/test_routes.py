"""Every route is in the table of who may use it, and every mutation wants a reason."""

from __future__ import annotations

import re
from inspect import iscoroutinefunction

import pytest

from nexus_sched.config.schema import Config
from nexus_sched.gateway.access.roles import EVERYBODY, Role
from nexus_sched.gateway.access.table import HTTP_ROUTES
from nexus_sched.gateway.compose import compose
from nexus_sched.gateway.http.app import may, routes
from nexus_sched.gateway.http.schema import document

WITHOUT_REASON = {("post", "/v1/tasks"), ("post", "/v1/tasks:batch")}  # submissions: they change nobody else's tasks


@pytest.fixture(scope="module")
def served():
    services = compose(Config()).services
    assert services is not None
    return routes(services)


@pytest.fixture(scope="module")
def paths(served) -> dict:
    return document(served)["paths"]


def declared(served) -> set[tuple[str, str]]:
    plain = re.compile(r":[a-z]+}")
    return {
        (method, plain.sub("}", path))
        for handler in served
        for path in handler.paths
        for method in handler.http_methods
    }


def test_every_route_is_in_the_table_and_nothing_else_is(served):
    assert declared(served) == set(HTTP_ROUTES)


def test_what_everybody_may_ask_is_health_and_the_schema():
    everybody = {path for (_, path), group in HTTP_ROUTES.items() if group is EVERYBODY}
    assert everybody == {"/livez", "/readyz", "/startupz", "/openapi.json"}


def test_admin_may_do_everything_and_a_viewer_changes_nothing():
    assert all(Role.ADMIN in group for group in HTTP_ROUTES.values())
    changes = [group for (method, _), group in HTTP_ROUTES.items() if method != "GET"]
    assert not any({Role.VIEWER, Role.WORKER, Role.SCRAPER} & group for group in changes)


def test_document_is_openapi_3_1_and_has_every_route_under_the_name_it_is_called_by(served, paths):
    assert document(served)["openapi"].startswith("3.1")
    assert "/v1/tasks/{task_id}:boost" in paths
    assert sum(len(item) for item in paths.values()) == len(HTTP_ROUTES)


def test_every_change_requires_a_reason(served):
    tree = document(served)
    schemas = tree["components"]["schemas"]
    for path, item in tree["paths"].items():
        for method, operation in item.items():
            if method == "get" or (method, path) in WITHOUT_REASON:
                continue
            names = {each["name"]: each for each in operation.get("parameters", [])}
            if method == "delete":
                assert names["reason"]["required"], path
            else:
                body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert "reason" in schemas[body]["required"], path


def test_every_operation_has_a_summary_of_its_own_and_documents_its_problems(paths):
    for path, item in paths.items():
        for operation in item.values():
            assert operation["description"], path
            if path.startswith("/v1"):
                assert {"400", "401", "403", "429", "503"} <= set(operation["responses"]), path


def test_no_request_passes_through_a_thread(served):
    """litestar takes what is no coroutine to a thread, which cost a third of the time of every request."""
    assert iscoroutinefunction(may)
    assert [each for each in served if not iscoroutinefunction(each.fn) and each.sync_to_thread is not False] == []
