"""`nexus-sched simulate`: the object it prints, the tables, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nexus_sched.cli import exit_codes, main

SMALL = ("simulate", "--workers", "6", "--tasks", "120", "--slots", "2")


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def test_json_is_one_object_with_all_figures(capsys: pytest.CaptureFixture[str]):
    arguments = [*SMALL, "--synthetic", "hetero", "--seeds", "2", "--policies", "predictive,pull", "--json"]
    assert main(arguments) == exit_codes.OK
    output = capsys.readouterr()
    assert output.out.count("\n") == 1
    found = json.loads(output.out)
    assert (found["scenario"], found["seeds"], found["tasks"], found["workers"]) == ("hetero", 2, 120, 6)
    assert found["policies"].keys() == {"predictive", "pull"}
    ours = found["policies"]["predictive"]
    assert ours["response_s"].keys() == {"mean", "p50", "p99"}
    assert ours["slowdown"].keys() == {"mean", "p99"}
    assert {"cv", "spread"} <= ours["utilisation"].keys()
    assert 0.0 < ours["response_s"]["p50"] < ours["response_s"]["p99"]
    assert ours["slowdown"]["mean"] > 1.0
    assert ours["type_cv"] > 0.0
    assert ours["ci95"]["response_s"]["mean"] > 0.0
    assert "eta_within_25" in ours
    assert "seed 2: 120 tasks on 6 workers, 2 policies" in output.err


def test_tables_are_for_people_with_all_policies_by_default(capsys: pytest.CaptureFixture[str]):
    assert main([*SMALL, "--seeds", "1"]) == exit_codes.OK
    output = capsys.readouterr().out
    assert "hetero: 120 tasks on 6 workers, 1 seed" in output
    assert output.count("least-outstanding") >= 3
    assert "gap closed" in output
    assert "+-" not in output.splitlines()[6]  # one seed has no interval


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policies", "predictve"], "did you mean `predictive`?"),
        (["--policies", ","], "--policies names none"),
        (["--synthetic", "hetro"], "hetro"),
        (["--synthetic", "hetero", "--matrix", "x.csv"], "name one of --synthetic, --trace and --matrix"),
        (["--matrix", "absent.csv"], "absent.csv"),
        (["--trace", "absent.csv"], "absent.csv"),
        (["--workers", "0"], "workers is 0"),
    ],
)
def test_mistake_is_told_and_exits_as_one(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str):
    assert main(["simulate", *arguments]) == exit_codes.USAGE
    output = capsys.readouterr()
    assert words in output.err
    assert output.out == ""
