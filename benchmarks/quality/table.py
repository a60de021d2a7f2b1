"""Goals as a table for people: what was to be reached, what was measured, and whether it was."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.quality.goals import Goal
from benchmarks.quality.judge import ABSENT, MET, MISSED, NO_DATA, WORSE, Line

STYLES = {MET: "green", MISSED: "yellow", WORSE: "bold red", ABSENT: "bold red", NO_DATA: "dim"}
CAPTION = (
    "A number with x is a ratio, taken seed by seed. +- is the 95 % confidence interval over seeds. A missed goal has "
    "a known figure; worse than that breaks the gate."
)


def render(lines: Sequence[Line], form: str) -> Table:
    """One row a goal."""
    table = Table(title=f"Goals of placement, {form} form", caption=CAPTION, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("goal")
    for label in ("bound", "measured", "known"):
        table.add_column(label, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in lines:
        goal = line.goal
        known = "" if line.known is None else _number(goal, line.known)
        table.add_row(goal.goal, _bound(goal), _measured(line), known, line.verdict, style=STYLES[line.verdict])
    return table


def reasons(lines: Sequence[Line]) -> list[str]:
    """Why goals are missed, a line each."""
    return [f"{line.goal.goal}: {line.goal.why}" for line in lines if line.verdict in (MISSED, WORSE) and line.goal.why]


def _bound(goal: Goal) -> str:
    if goal.most is not None:
        return f"<= {_number(goal, goal.most)}"
    assert goal.least is not None, "a goal has one bound"
    return f">= {_number(goal, goal.least)}"


def _measured(line: Line) -> str:
    if line.value is None:
        return "-"
    interval = "" if line.half_width is None else f" +-{line.half_width:.2g}"
    return _number(line.goal, line.value) + interval


def _number(goal: Goal, value: float) -> str:
    return f"{value:.3g}{'x' if goal.is_ratio else goal.unit and f' {goal.unit}'}"
