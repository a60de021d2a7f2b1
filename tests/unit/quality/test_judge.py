"""Goals: what a file of them must say, and how figures are judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.quality.__main__ import main
from benchmarks.quality.goals import FULL, GOALS, SHORT, Goal, Unusable, read
from benchmarks.quality.judge import ABSENT, MET, MISSED, NO_DATA, WORSE, Line, judge
from benchmarks.quality.table import render
from nexus_sched.cli import exit_codes
from nexus_sched.sim.figures import FIGURES

FIGURES_BEYOND = {"recovery_s", "engine_us", "decision_us"}

ONE = """
[[runs]]
name = "small"
synthetic = "hetero"
workers = 4
tasks = 60
seeds = 2
policies = ["predictive", "pull"]
short = { tasks = 40 }

[[goals]]
goal = "no slower than a queue"
run = "small"
measure = "response_s.mean"
to_policy = "pull"
most = %s
"""


def judged(goal: Goal, *ours: float | None, theirs: tuple[float, ...] = (), form: str = FULL) -> Line:
    measured = {
        "run": {
            "predictive": [{"type_cv": value} for value in ours],
            "pull": [{"type_cv": value} for value in theirs],
        }
    }
    return judge([goal], measured, [], form)[0]


def of(**more: object) -> Goal:
    return Goal(goal="g", run="run", measure="type_cv", **more)  # type: ignore[arg-type] - fields by name


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("goal", "values", "verdict"),
    [
        (of(most=2.0), (1.0, 3.0), MET),
        (of(most=2.0), (1.0, 3.1), WORSE),
        (of(least=2.0), (1.0, 3.0), MET),
        (of(least=2.0), (1.0, 2.9), WORSE),
        (of(most=2.0, known={FULL: 2.5}, why="w"), (2.4,), MISSED),
        (of(most=2.0, known={FULL: 2.5}, why="w"), (2.6,), WORSE),
        (of(most=2.0, known={SHORT: 2.5}, why="w"), (2.4,), WORSE),
        (of(least=2.0, known={FULL: 1.5}, why="w"), (1.6,), MISSED),
        (of(least=2.0, known={FULL: 1.5}, why="w"), (1.4,), WORSE),
        (of(most=2.0), (1.0, None), ABSENT),
        (of(most=2.0), (), ABSENT),
    ],
)
def test_goal_is_judged_by_the_mean_and_guarded_by_what_is_known(
    goal: Goal, values: tuple[float | None, ...], verdict: str
):
    assert judged(goal, *values).verdict == verdict


def test_ratios_are_taken_seed_by_seed():
    line = judged(of(most=2.0, to_policy="pull"), 2.0, 20.0, theirs=(1.0, 10.0))
    assert (line.value, line.half_width, line.verdict) == (2.0, 0.0, MET)
    assert judged(of(most=2.0, to_policy="pull"), 2.0, 20.0, theirs=(1.0,)).verdict == ABSENT


def test_run_without_its_file_is_not_judged():
    assert judge([of(most=1.0)], {}, ["run"], FULL)[0].verdict == NO_DATA


def test_goals_of_the_project_can_be_judged():
    quality = read(GOALS)
    measures = {figure.name for figure in FIGURES} | FIGURES_BEYOND
    assert {goal.measure for goal in quality.goals} | {goal.reference[2] for goal in quality.goals} <= measures
    assert all(run.options(Path()).seeds == 5 for run in quality.runs if run.name != "4000 workers")
    for run, short in zip(quality.runs, quality.in_form(SHORT).runs, strict=True):
        assert short.options(Path()).seeds < run.options(Path()).seeds
        assert short.tasks <= run.tasks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("most = 1.0\nleast = 1.0", "either `most` or `least`"),
        ("", "either `most` or `least`"),
        ("most = 1.0\nknown = { full = 2.0 }", "`known` and `why` together"),
        ('most = 1.0\nknown = { long = 2.0 }\nwhy = "w"', "knows of forms"),
        ('most = 1.0\nto_policy = "p2c"', "looks at p2c in run 'small', which is not run"),
        ("most = 1.0\nmots = 1.0", "unknown field"),
    ],
)
def test_incomplete_goal_is_refused(tmp_path: Path, text: str, words: str):
    text = ONE.replace('to_policy = "pull"\nmost = %s', text)
    with pytest.raises(Unusable, match=words):
        read(written(tmp_path / "q.toml", text))


def test_gate_is_open_for_a_goal_that_is_met_and_breaks_for_one_that_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    held, broken = (written(tmp_path / f"{most}.toml", ONE % most) for most in (9.0, 0.001))
    assert main(["--goals", str(held), "--processes", "1"]) == exit_codes.OK
    output = capsys.readouterr()
    assert "no slower than a queue" in output.out
    assert "1 of 1 goals met" in output.err
    assert main(["--goals", str(broken), "--short", "--json", "--processes", "1"]) == exit_codes.GATE_FAILED
    assert '"verdict": "WORSE"' in capsys.readouterr().out


def test_table_names_goal_bound_figure_and_verdict(capsys: pytest.CaptureFixture[str]):
    from rich.console import Console

    line = judged(of(most=2.0, known={FULL: 2.5}, why="because", to_policy="pull"), 4.6, theirs=(2.0,))
    Console(width=120).print(render([line], FULL))
    output = capsys.readouterr().out
    assert all(text in output for text in ("<= 2x", "2.3x", "2.5x", "missed"))
