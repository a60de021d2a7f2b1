"""The gate fails when a budget is passed, and only then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gate

US = 1e-6


def benchmark(name: str, us: float, iterations: int = 1, data_us: list[float] | None = None) -> dict[str, Any]:
    data = [value * US for value in data_us or [us]]
    return {
        "name": name,
        "stats": {"min": us * US, "median": us * US, "mean": us * US, "iterations": iterations, "data": data},
    }


@pytest.fixture
def run(tmp_path: Path):
    def run_gate(benchmarks: list[dict[str, Any]], budgets: str, *flags: str) -> int:
        (tmp_path / "result.json").write_text(json.dumps({"benchmarks": benchmarks}))
        (tmp_path / "budgets.toml").write_text(budgets)
        return gate.main([str(tmp_path / "result.json"), "--budgets", str(tmp_path / "budgets.toml"), *flags])

    return run_gate


def span(name: str = "a", stat: str = "mean", most_us: float = 2.0) -> str:
    return f'spans = [{{ name = "{name}", stat = "{stat}", most_us = {most_us}, reason = "because" }}]'


def ratio(bound: str) -> str:
    return f'ratios = [{{ of = "a", to = "b", stat = "min", {bound}, reason = "because" }}]'


@pytest.mark.parametrize(("us", "code", "verdict"), [(1.9, 0, "ok"), (2.1, 1, "PASSED")])
def test_span_beyond_its_budget_fails(run, capsys: pytest.CaptureFixture[str], us: float, code: int, verdict: str):
    assert run([benchmark("a", us)], span()) == code
    shown = capsys.readouterr().out
    assert shown.startswith(verdict)
    assert ("because" in shown) == bool(code)


@pytest.mark.parametrize(
    ("bound", "code"), [("most = 3.1", 0), ("most = 2.9", 1), ("least = 2.9", 0), ("least = 3.1", 1)]
)
def test_ratio_beyond_its_budget_fails(run, bound: str, code: int):
    assert run([benchmark("a", 6.0), benchmark("b", 2.0)], ratio(bound)) == code


@pytest.mark.parametrize(("slow_calls", "code"), [(1, 0), (2, 1)])
def test_p99_is_what_99_of_100_calls_do_not_exceed(run, slow_calls: int, code: int):
    data = [1.0] * (100 - slow_calls) + [50.0] * slow_calls
    assert run([benchmark("a", 1.0, data_us=data)], span(stat="p99")) == code


def test_p99_over_averaged_rounds_is_refused(run, capsys: pytest.CaptureFixture[str]):
    assert run([benchmark("a", 1.0, iterations=10)], span(stat="p99")) == 2
    assert "one call a round" in capsys.readouterr().err


@pytest.mark.parametrize("budgets", [span(), ratio("most = 9")])
def test_budget_without_a_measurement_fails_unless_the_run_is_partial(run, budgets: str):
    assert run([benchmark("b", 1.0)], budgets) == 1
    assert run([benchmark("b", 1.0)], budgets, "--partial") == 0


@pytest.mark.parametrize(
    "budgets",
    [
        "spans = [",
        'spans = [{ name = "a", stat = "mean", most_us = 1 }]',
        'spans = [{ name = "a", stat = "mean", most_us = 1, reason = " " }]',
        'spans = [{ name = "a", stat = "p42", most_us = 1, reason = "because" }]',
        'spans = [{ name = "a", stat = "mean", most_ms = 1, reason = "because" }]',
        ratio("most = 1, least = 1"),
        "other = []",
    ],
)
def test_budgets_that_cannot_be_judged_by_are_refused(run, budgets: str):
    assert run([benchmark("a", 1.0), benchmark("b", 1.0)], budgets) == 2


def test_missing_result_is_refused(tmp_path: Path):
    assert gate.main([str(tmp_path / "nothing.json")]) == 2


def test_budgets_of_the_repository_are_well_formed():
    budgets = gate.read_budgets(gate.BUDGETS)
    assert budgets["spans"]
    assert budgets["ratios"]
