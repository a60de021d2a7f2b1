"""The report on all traces: one page that needs nothing beside it, and the figures as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import msgspec
import numpy as np

from nexus_sched.accuracy.chart import COLOURS, reliability, scatter
from nexus_sched.accuracy.goals import INTERVAL_80_MAX, INTERVAL_80_MIN, Goal, goals_of
from nexus_sched.accuracy.measure import Measurement
from nexus_sched.accuracy.score import Score
from nexus_sched.accuracy.table import percent, plain, rows

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1320px; padding: 0 1rem; color: #222;
  background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.met { color: #006b4f; font-weight: 600; } .missed { color: #b03a00; font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { text-align: center; }
.wide { overflow-x: auto; }
svg { font: 11px system-ui, sans-serif; } .axis { fill: none; stroke: #888; } .band { fill: #0001; }
.ideal { stroke: #888; stroke-dasharray: 4 3; fill: none; } .tick { text-anchor: middle; fill: #444; }
.end { text-anchor: end; } .dots { stroke-width: 2.6; stroke-linecap: round; stroke-opacity: .45; fill: none; }
"""


def write_report(measurements: Sequence[Measurement], directory: Path) -> Path:
    """Write `index.html` and `scores.json` into a folder, made if it is missing; gives the page."""
    directory.mkdir(parents=True, exist_ok=True)
    scores = msgspec.json.encode([measured.as_json() for measured in measurements], order="sorted")
    (directory / "scores.json").write_bytes(scores + b"\n")
    page = directory / "index.html"
    page.write_text("\n".join(_page(measurements)) + "\n", encoding="utf-8")
    return page


def name_of(measured: Measurement) -> str:
    """The trace's name, without suffixes."""
    return measured.trace.path.name.split(".")[0]


def share(measured: Measurement, predictor: str, family: str) -> float | None:
    """Share within 25 % of one family of types, or of all."""
    hit = measured.columns[predictor].hit
    if not family:
        return measured.scores[predictor].within_25
    member = np.array([task.type.split(":")[0] == family for task in measured.trace.tasks])
    return float(np.mean(hit[member])) if member.any() else None


def _page(measurements: Sequence[Measurement]) -> Iterator[str]:
    names = list(measurements[0].scores)
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f"<title>How right predictions are</title><style>{STYLE}</style></head><body>"
    yield "<h1>How right predictions are</h1>"
    yield (
        "<p>Every task is predicted when it is submitted, for the worker that ran it, and learned once it has ended. "
        "A task without a prediction counts as not within 25 %. Intervals are judged after the first 500 tasks.</p>"
    )
    yield from _goal_table(measurements, names)
    yield from _interval_table(measurements, names)
    for measured in measurements:
        yield from _section(measured)
    yield "</body></html>"


def _goal_table(measurements: Sequence[Measurement], names: Sequence[str]) -> Iterator[str]:
    yield '<h2>Share within 25 %, and the goals</h2><div class="wide"><table><tr><th>trace</th><th>tasks</th>'
    yield "".join(f"<th>{escape(name)}</th>" for name in names)
    yield "<th>baseline (given)</th><th>known reachable</th><th>goal</th></tr>"
    for measured in measurements:
        for goal in goals_of(name_of(measured)):
            label = f"&nbsp;&nbsp;{goal.family}" if goal.family else escape(goal.trace)
            count = "" if goal.family else str(len(measured.trace))
            cells = "".join(_reached(share(measured, name, goal.family), goal, name == names[0]) for name in names)
            given = "".join(f"<td>{percent(value)}</td>" for value in (goal.baseline, goal.reachable, goal.goal))
            yield f"<tr><td>{label}</td><td>{count}</td>{cells}{given}</tr>"
    yield "</table></div>"


def _reached(value: float | None, goal: Goal, judged: bool) -> str:
    """A cell; the first predictor is held against the goal, in steps of a tenth of a percent as it is shown."""
    kind = ""
    if judged and value is not None and goal.goal is not None:
        kind = ' class="met"' if round(value, 3) >= goal.goal else ' class="missed"'
    return f"<td{kind}>{percent(value)}</td>"


def _interval_table(measurements: Sequence[Measurement], names: Sequence[str]) -> Iterator[str]:
    yield (
        f"<h2>The 80 % interval</h2><p>Goal: it holds {INTERVAL_80_MIN * 100.0:.0f} to "
        f"{INTERVAL_80_MAX * 100.0:.0f} % of the tasks, as narrow as can be.</p>"
    )
    heads = "".join(f"<th>{escape(name)} holds</th><th>p90/p10</th>" for name in names)
    yield f'<div class="wide"><table><tr><th>trace</th>{heads}</tr>'
    for measured in measurements:
        cells = "".join(_interval(found, name == names[0]) for name, found in measured.scores.items())
        yield f"<tr><td>{escape(name_of(measured))}</td>{cells}</tr>"
    yield "</table></div>"


def _interval(found: Score, judged: bool) -> str:
    coverage = found.interval_80_coverage
    kind = ""
    if judged and coverage is not None:
        kind = ' class="met"' if INTERVAL_80_MIN <= round(coverage, 3) <= INTERVAL_80_MAX else ' class="missed"'
    return f"<td{kind}>{percent(coverage)}</td><td>{plain(found.interval_80_width)}</td>"


def _section(measured: Measurement) -> Iterator[str]:
    yield f"<h2>{escape(name_of(measured))}</h2>"
    yield '<div class="pictures">'
    for name, colour in zip(measured.columns, COLOURS, strict=False):
        picture = scatter(measured.columns[name], f"{name}: predicted against actual", colour)
        yield f"<figure>{picture}<figcaption>{escape(name)}; the band is within 25 %</figcaption></figure>"
    coverage = {name: found.quantile_coverage for name, found in measured.scores.items()}
    yield f"<figure>{reliability(coverage)}<figcaption>how often predicted quantiles hold</figcaption></figure></div>"
    heads = "".join(f"<th>{escape(name)}</th>" for name in measured.scores)
    yield f'<div class="wide"><table><tr><th></th>{heads}</tr>'
    for label, cells in rows(measured):
        yield f"<tr><td>{escape(label)}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</table></div>"
    yield from _types(measured)


def _types(measured: Measurement) -> Iterator[str]:
    name, found = next(iter(measured.scores.items()))
    yield (
        f'<div class="wide"><table><tr><th>{escape(name)}: types that take most time</th><th>time</th><th>tasks</th>'
        "<th>within 25 %</th><th>sigma</th><th>ceiling it implies</th><th>sigma by quartiles</th><th>ceiling</th></tr>"
    )
    for kind in found.types:
        cells = (
            percent(kind.time_share),
            str(kind.tasks),
            percent(kind.within_25),
            plain(kind.residual_sigma),
            percent(kind.ceiling),
            plain(kind.core_sigma),
            percent(kind.core_ceiling),
        )
        yield f"<tr><td>{escape(kind.task_type)}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</table></div>"
