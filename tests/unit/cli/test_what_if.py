"""`nexus-sched what-if` on an exported journal: the object it prints, the table, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.replay import journal_file
from nexus_sched.replay.span import Kept
from nexus_sched.sim.scenarios import Size, generate
from tests.unit.sim.recorded import recorded_run


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("journal") / "hour.gz"
    turns, _ = recorded_run(generate("hetero", Size(workers=6, tasks=240, load=0.8), 1))
    journal_file.append(path, Kept(None, turns))
    return str(path)


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def test_json_holds_all_cases_the_error_and_the_span(exported: str, capsys: pytest.CaptureFixture[str]):
    arguments = ["--workers", "+2", "--weights", "wait=3", "--order", "predictable", "--predictor", "ema", "--json"]
    assert main(["what-if", "--from", exported, *arguments]) == exit_codes.OK
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["cases"].keys() == {"happened", "simulated", "what_if"}
    assert found["workers"] == {"recorded": 6, "what_if": 8}
    assert found["changes"] == {"workers": 2, "wait_weight": 3.0, "order": "predictable", "predictor": "ema"}
    mean_s = {case: figures["response_s"]["mean"] for case, figures in found["cases"].items()}
    assert found["model_error"]["response_s"]["mean"] == pytest.approx(mean_s["simulated"] / mean_s["happened"] - 1.0)
    assert found["effect"]["response_s"]["mean"] == pytest.approx(mean_s["what_if"] / mean_s["simulated"] - 1.0)
    assert found["span"]["asked_s"] == 3_600.0
    held_s = (found["span"]["until_ms"] - found["span"]["from_ms"]) / 1_000.0
    assert found["span"]["available_s"] == pytest.approx(held_s)
    assert f"The journal holds {held_s:.0f} s of the 3600 s asked for" in output.err
    assert any("measured pace" in note for note in found["notes"])


def test_table_has_a_column_for_each_case_and_says_what_it_rests_on(exported: str, capsys: pytest.CaptureFixture[str]):
    assert main(["what-if", "--from", exported, "--since", "20s", "--workers", "-1"]) == exit_codes.OK
    output = capsys.readouterr()
    assert "on 6 workers, with changes 5" in output.out
    assert all(text in output.out for text in ("happened", "simulated as it was", "what if", "response p99"))
    assert "The model's own error: mean response" in output.out
    assert "What the changes make of it: mean response" in output.out
    assert "measured pace" in output.out
    assert "asked for" not in output.err


def test_without_changes_only_the_model_is_checked(exported: str, capsys: pytest.CaptureFixture[str]):
    assert main(["what-if", "--from", exported, "--json"]) == exit_codes.OK
    found = json.loads(capsys.readouterr().out)
    assert found["cases"].keys() == {"happened", "simulated"}
    assert found["effect"]["response_s"]["mean"] is None


def test_weight_that_an_objective_would_not_look_at_makes_the_weights_count(
    exported: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["what-if", "--from", exported, "--weights", "balance=20ms", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["changes"]["objective"] == "custom"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "10"], "such as +10 or -5"),
        (["--workers", "-6"], "6 workers stayed to the end: -6 cannot be done"),
        (["--weights", "wiat=1"], "did you mean `wait`?"),
        (["--weights", "wait"], "write key=value"),
        (["--weights", "wait=much"], "a number"),
        (["--since", "soon"], "soon"),
        (["--order", "random"], "random"),
    ],
)
def test_mistake_is_told_and_exits_as_one(
    exported: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
):
    assert main(["what-if", "--from", exported, *arguments]) == exit_codes.USAGE
    assert words in capsys.readouterr().err


def test_file_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "x.gz"
    path.write_text("no journal")
    assert main(["what-if", "--from", str(path)]) == exit_codes.USAGE
    assert "cannot be read as an exported journal" in capsys.readouterr().err
