"""Log lines of a fault show where it was, and nothing that was at hand there; what others wrote is no command."""

from __future__ import annotations

import json

import pytest
import structlog

from nexus_sched.cli.logs import set_up_logs
from nexus_sched.config.schema import LoggingSection
from nexus_sched.worker.log import Log

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


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "\x9b31m", "\u202egnp", "a\n[info] forged", "a\u2028b", "\x00", "\x08"]
)
def test_what_others_have_written_stays_in_its_line_and_commands_no_terminal(
    form: str, text: str, capsys: pytest.CaptureFixture[str]
):
    set_up_logs(LoggingSection(format=form, level="debug"))
    structlog.get_logger("test").warning(f"said {text}", detail=text, parts=[text], **{text: 1})
    Log("info", text, as_json=form == "json").warning(f"said {text}", detail=text)
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 3
    assert [line for line in lines if not line.isprintable()] == []


def test_text_of_a_fault_commands_no_terminal(capsys: pytest.CaptureFixture[str]):
    set_up_logs(LoggingSection(format="console", level="debug"))
    try:
        raise RuntimeError("\x1b[31mred \u202egnp")
    except RuntimeError:
        structlog.get_logger("test").exception("call failed")
    written = capsys.readouterr().err
    assert "RuntimeError" in written
    assert [each for each in written if not each.isprintable() and each != "\n"] == []
