"""pytest fixtures: one real server of each kind for a whole run of tests, and a fresh pool for each test.

Import the fixtures into a `conftest.py`: `from nexus_sched.testing.plugin import pool, server`. Tests share
a server and keep apart by pool names; a test that breaks or reconfigures a server starts its own
`TestServer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from nexus_sched.testing.servers import KINDS, ServerMissing, TestServer

_pool_numbers = count()


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """A running server of each kind; skipped, with the reason, where it is not installed."""
    try:
        running = TestServer(request.param, tcp=True)
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with running:
        yield running


@pytest.fixture
def pool() -> str:
    """A pool name no other test of this process uses."""
    return f"test-{next(_pool_numbers)}"
