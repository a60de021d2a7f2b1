"""The API against its own document: whatever fits it, or just does not, is answered as documented, and never with 5xx.

`schemathesis` makes the requests: a few for each operation here, and many in the nightly run
(`NEXUS_SCHEMA_EXAMPLES`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import SkipTest

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.programs import Program, Programs
from tests.integration.test_gateway_process import address_of

EXAMPLES = int(os.environ.get("NEXUS_SCHEMA_EXAMPLES", "3"))
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
ENDLESS = "/v1/stream"


class Stage:
    """A server, a scheduler and a gateway with tokens."""

    def __init__(self, directory: Path) -> None:
        self.server = TestServer(VALKEY)
        self.server.start()
        self.programs = Programs(self.server.url, "schema", directory)
        self.directory = directory
        self.token, row = tokens.create("tester", Role.ADMIN, tokens.now_utc(), None)
        tokens.write(directory / "tokens.toml", [row])
        admitting = ("--set", f"http.auth.tokens_file={directory / 'tokens.toml'}")
        self.scheduler: Program = self.programs.start("run")
        self.gateway: Program = self.programs.start("run", "--role", "gateway", "--set", "http.port=0", *admitting)
        self.url = address_of(self.gateway)

    def close(self) -> None:
        self.programs.close()
        self.server.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    opened = Stage(tmp_path_factory.mktemp("schema"))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def operations(stage: Stage) -> list[APIOperation]:
    document = httpx.get(f"{stage.url}/openapi.json").json()
    del document["paths"][ENDLESS]  # it never ends; it has a test of its own
    return [each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations()]


def each_case(operations: list[APIOperation], check: Callable[[Case], None]) -> None:
    """Requests to each operation: those that fit the document, and those that do not."""
    for operation in operations:
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:

            @bounded
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Case) -> None:
                check(case)

            try:
                ask()
            except (SkipTest, Unsatisfiable):  # nothing about it can be wrong
                assert mode is GenerationMode.NEGATIVE, operation.label


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_operations_answer_as_documented(operations: list[APIOperation], stage: Stage):
    headers = {"Authorization": f"Bearer {stage.token}"}
    seen: Counter[int] = Counter()

    def check(case: Case) -> None:
        response = case.call(base_url=stage.url, headers=headers, timeout=30)
        seen[response.status_code] += 1
        case.validate_response(response, checks=list(CHECKS))

    each_case(operations, check)
    assert {200, 202, 400, 404} <= set(seen), seen
    assert not stage.gateway.ended()


def test_operations_without_a_token_are_refused_as_documented(operations: list[APIOperation], stage: Stage):
    def check(case: Case) -> None:
        case.headers.pop("Authorization", None)
        response = case.call(base_url=stage.url, timeout=30)
        case.validate_response(response, checks=list(CHECKS))
        assert response.status_code == 401 or not case.operation.path.startswith("/v1"), response.status_code
        assert stage.token not in response.text

    each_case(operations, check)


def test_no_token_is_in_any_log(stage: Stage):
    assert stage.token not in stage.gateway.output + stage.scheduler.output
    assert stage.token not in (stage.directory / "tokens.toml").read_text()
