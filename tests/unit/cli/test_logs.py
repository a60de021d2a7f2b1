"""Log lines of a fault show where it was, and nothing that was at hand there."""

from __future__ import annotations

import json

import pytest
import structlog

from nexus_sched.cli.logs import set_up_logs
from nexus_sched.config.schema import LoggingSection

CANARY = "canary-in-a-local-variable"


@pytest.fixture(autouse=True)
def restored():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("form", ["json", "console"])
def test_traceback_shows_no_variables(form: str, capsys: pytest.CaptureFixture[str]):
    set_up_logs(LoggingSection(format=form, level="debug"))
    payload = CANARY.encode()
    try:
        raise RuntimeError(f"{len(payload)} bytes could not be handled")
    except RuntimeError:
        structlog.get_logger("test").exception("call failed", code="INTERNAL")
    written = capsys.readouterr().err
    assert "26 bytes could not be handled" in written
    assert "test_traceback_shows_no_variables" in written
    assert CANARY not in written
    if form == "json":
        assert json.loads(written)["code"] == "INTERNAL"
