"""Figures against goals.

Law: a goal is judged by the mean over seeds, and ratios are taken seed by seed, where both sides ran the same tasks. A
simulation gives equal figures on every machine, so what passes here passes everywhere; only costs are measured by the
clock. A goal whose figure is missing breaks the gate, unless the file its run needs is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from benchmarks.quality.goals import Goal
from nexus_sched.sim.summary import half_width, mean

MET, MISSED, WORSE, ABSENT, NO_DATA = "met", "missed", "WORSE", "ABSENT", "no data"
BREAKING = (WORSE, ABSENT)

# run -> policy -> one set of figures a seed
Measured = Mapping[str, Mapping[str, Sequence[Mapping[str, float | None]]]]


class Line(Struct, frozen=True):
    """One judged goal. `value` is `None` if there is nothing to judge."""

    goal: Goal
    value: float | None
    half_width: float | None
    known: float | None
    verdict: str

    def as_json(self) -> dict[str, object]:
        """What is printed of it."""
        return {
            "goal": self.goal.goal,
            "run": self.goal.run,
            "policy": self.goal.policy,
            "measure": self.goal.measure,
            "against": " ".join(self.goal.reference) if self.goal.is_ratio else None,
            "value": self.value,
            "ci95": self.half_width,
            "most": self.goal.most,
            "least": self.goal.least,
            "known": self.known,
            "why": self.goal.why or None,
            "verdict": self.verdict,
        }


def judge(goals: Sequence[Goal], measured: Measured, left_out: Sequence[str], form: str) -> list[Line]:
    """One line for each goal, in the order of the file; `left_out` are runs whose file is not there."""
    return [_line(goal, measured, left_out, form) for goal in goals]


def _line(goal: Goal, measured: Measured, left_out: Sequence[str], form: str) -> Line:
    known = goal.known.get(form)
    if goal.run in left_out or goal.reference[0] in left_out:
        return Line(goal, None, None, known, NO_DATA)
    values = _values(goal, measured)
    if not values or None in values:
        return Line(goal, None, None, known, ABSENT)
    found = [value for value in values if value is not None]
    value = mean(found)
    assert value is not None, "there are values"
    return Line(goal, value, half_width(found), known, _verdict(goal, value, known))


def _verdict(goal: Goal, value: float, known: float | None) -> str:
    if _within(goal, value, goal.most, goal.least):
        return MET
    if known is not None and _within(goal, value, known, known):
        return MISSED
    return WORSE


def _within(goal: Goal, value: float, most: float | None, least: float | None) -> bool:
    if goal.most is not None:
        return most is not None and value <= most
    return least is not None and value >= least


def _values(goal: Goal, measured: Measured) -> list[float | None]:
    """By seed."""
    ours = [figures.get(goal.measure) for figures in measured.get(goal.run, {}).get(goal.policy, ())]
    if not goal.is_ratio:
        return ours
    run, policy, measure = goal.reference
    theirs = [figures.get(measure) for figures in measured.get(run, {}).get(policy, ())]
    if len(ours) != len(theirs):
        return []
    return [
        None if mine is None or other is None or other == 0.0 else mine / other
        for mine, other in zip(ours, theirs, strict=True)
    ]
