"""A comparison as tables for people: a row for each policy, and the figures that belong together side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from nexus_sched.sim.compare import Comparison
from nexus_sched.sim.figures import FIGURES, Figure, Figures
from nexus_sched.sim.summary import half_widths, means

CAPTIONS = (
    "After a fifth of the tasks. +- is the 95 % confidence interval over seeds. Slowdown is response over service time "
    "on the fastest worker. Gap closed: 0 % is least-outstanding, 100 % the oracle.",
    "Busy is the share of slot time in use until the last arrival, over workers. CV by type is that of response times. "
    "Starved tasks waited ten times longer than the mean.",
    "ETAs are the first that were told. Predictable types have a sigma of at most 0.2.",
)
QUANTILES = ("p50", "p99")  # labels that say nothing where they stand alone
GROUPS = {"response_s": "response", "slowdown": "slowdown"}
SHOWN_IF_ZERO = frozenset(("s", "share", "ratio", "rate"))  # a count of nothing is no news


def render(comparison: Comparison) -> list[Table]:
    """The tables; figures that no policy has are left out."""
    seeds = f"{comparison.seeds} seed{'s' if comparison.seeds > 1 else ''}"
    title = f"{comparison.scenario}: {comparison.tasks} tasks on {comparison.workers} workers, {seeds}"
    found = {name: (means(runs), half_widths(runs)) for name, runs in comparison.figures.items()}
    tables = []
    for number, caption in enumerate(CAPTIONS):
        figures = [
            each for each in FIGURES if each.table == number and said(each, [mean for mean, _ in found.values()])
        ]
        table = Table(title=title if number == 0 else None, caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("", no_wrap=True)
        for figure in figures:
            table.add_column(figure.label, justify="right", no_wrap=figure is FIGURES[0])
        for name, (mean, width) in found.items():
            table.add_row(name, *(_cell(figure, mean, width) for figure in figures))
        tables.append(table)
    return tables


def render_cases(title: str, cases: Mapping[str, Figures]) -> Table:
    """Few cases side by side, a row for each figure that any of them has."""
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in cases:
        table.add_column(name, justify="right")
    found = [{figure.name: figures.get(figure.name) for figure in FIGURES} for figures in cases.values()]
    for figure in FIGURES:
        if said(figure, found):
            table.add_row(full_label(figure), *(figure.text(figures[figure.name]) for figures in found))
    return table


def full_label(figure: Figure) -> str:
    """What a figure is called where its neighbours do not say it."""
    if figure.label not in QUANTILES:
        return figure.label
    return f"{GROUPS[figure.name.rpartition('.')[0]]} {figure.label}"


def said(figure: Figure, found: Sequence[Figures]) -> bool:
    """Whether any policy has something to say here."""
    return any(mean[figure.name] or (mean[figure.name] == 0.0 and figure.kind in SHOWN_IF_ZERO) for mean in found)


def _cell(figure: Figure, mean: Figures, width: Figures) -> str:
    """The first figure with its interval; those of all others are in the JSON."""
    text, half_width = figure.text(mean[figure.name]), width[figure.name]
    if figure is not FIGURES[0] or half_width is None:
        return text
    return f"{text} +-{figure.text(half_width).removesuffix(' s')}"
