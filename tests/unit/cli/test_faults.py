"""Every expected fault has its exit code, says what to do next, and never shows a traceback."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nexus_sched import errors
from nexus_sched.cli import exit_codes, main
from nexus_sched.cli.output import ADVICE

ABSENT = "unix:///nowhere/redis.sock"

FAULTS = [
    (["submt"], 2, "submit"),
    (["submit"], 2, "requires an argument"),
    (["submit", "add", "--priority", "high"], 2, "--priority"),
    (["submit", "add", "--payload", "{"], 2, "not JSON"),
    (["submit", "add", "--payload", "@absent.json"], 2, "absent.json cannot be read"),
    (["submit", "add", "--redis-url", ABSENT], 4, "Is the server running"),
    (["status", "--redis-url", ABSENT], 4, "Is the server running"),
    (["run", "--redis-url", ABSENT, "--set", "redis.connect_timeout=100ms"], 4, "Is the server running"),
    (["run", "--redis-url", "http://x"], 3, "must begin with redis://"),
    (["run", "--set", "predictor.name=emma"], 3, "did you mean `ema`?"),
    (["worker", "tasks"], 2, "write module:name"),
    (["worker", "absent_module:app"], 2, "no module 'absent_module'"),
    (["worker", "json:dumps"], 2, "not a nexus_sched.App"),
    (["worker", "json:dumps", "--slots", "0"], 3, "1 to 4096, got 0"),
    (["demo", "--workers", "0"], 2, "workers is 0"),
    (["config", "explain", "scheduler.mod"], 5, "did you mean `scheduler.mode`?"),
    (["config", "check", "--config", "absent.toml"], 3, "absent.toml: cannot be read"),
]


each_fault = pytest.mark.parametrize(
    ("arguments", "code", "words"), FAULTS, ids=[" ".join(arguments) for arguments, _, _ in FAULTS]
)


@each_fault
def test_fault_in_words_has_its_exit_code_and_no_traceback(arguments, code, words, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == code
    output = capsys.readouterr()
    assert words in " ".join(output.err.split())
    assert "Traceback" not in output.err
    assert output.out == ""


@each_fault
def test_fault_as_json_is_one_object_on_standard_output(arguments, code, words, capsys: pytest.CaptureFixture[str]):
    assert main([*arguments, "--json"]) == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert re.fullmatch(r"[A-Z_]+", error["code"])
    assert error["message"]


def test_configuration_problems_are_listed_in_json(capsys: pytest.CaptureFixture[str]):
    Path("nexus.toml").write_text("[scheduler]\nmod = 1\nprefetch = -1\n")
    assert main(["config", "check", "--json"]) == exit_codes.BAD_CONFIGURATION
    problems = json.loads(capsys.readouterr().out)["error"]["problems"]
    assert [problem.split(":")[1] for problem in problems] == ["2", "3"]


def test_configuration_that_is_valid_says_so(capsys: pytest.CaptureFixture[str]):
    Path("nexus.toml").write_text("[scheduler]\nprefetch = 2\n")
    assert main(["config", "check"]) == exit_codes.OK
    assert "1 of" in capsys.readouterr().err
    assert main(["config", "show", "--origin"]) == exit_codes.OK
    assert "prefetch = 2  # nexus.toml:2" in capsys.readouterr().out


def test_configuration_shown_can_be_read_back_and_hides_the_password(capsys: pytest.CaptureFixture[str]):
    Path("nexus.toml").write_text(
        '[[intake]]\nstream = "jobs"\nfields = { type = "kind" }\n[[intake]]\nstream = "more"\n'
    )
    assert main(["config", "show", "--redis-url", "redis://user:open-sesame@host/0"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "open-sesame" not in shown
    Path("nexus.toml").write_text(shown)
    assert main(["config", "show"]) == exit_codes.OK
    assert capsys.readouterr().out == shown
    assert main(["config", "show", "--json", "--origin"]) == exit_codes.OK
    answer = json.loads(capsys.readouterr().out)
    assert [table["stream"] for table in answer["config"]["intake"]] == ["jobs", "more"]
    assert answer["config"]["scheduler.dead"] == 5_000
    assert answer["origins"]["redis.url"].startswith("nexus.toml:")


def test_configuration_schema_and_explanation_are_json(capsys: pytest.CaptureFixture[str]):
    assert main(["config", "schema"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["title"] == "nexus.toml"
    assert main(["config", "explain", "redis_url", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["key"] == "redis.url"


def test_interrupt_gives_its_own_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nexus_sched.cli.app.build_app", interrupted)
    assert main(["version"]) == exit_codes.INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


def all_errors(kind: type[errors.NexusError] = errors.NexusError) -> list[type[errors.NexusError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in all_errors(child))]


def test_error_codes_and_exit_codes_are_documented_ones():
    for kind in all_errors():
        assert kind.exit_code in exit_codes.MEANINGS, kind
    assert {kind.code for kind in all_errors()} >= ADVICE.keys()
