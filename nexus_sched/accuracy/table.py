"""Scores as tables for people: one row per predictor, and one per costly type."""

from __future__ import annotations

from rich.table import Table

from nexus_sched.accuracy.measure import Measurement
from nexus_sched.accuracy.score import Score

NOTHING = "-"


def overview(measured: Measurement) -> Table:
    """All predictors side by side."""
    table = Table(
        title=f"{measured.trace.path.name}: {len(measured.trace)} tasks, predicted, then learned",
        caption="errors over the tasks with a prediction; without one counts as not within 25 %; "
        "interval 80 % after the first 500 tasks",
    )
    table.add_column("")
    for name in measured.scores:
        table.add_column(name, justify="right")
    for label, cells in rows(measured):
        table.add_row(label, *cells)
    return table


def rows(measured: Measurement) -> list[tuple[str, list[str]]]:
    """Label and one cell per predictor."""
    scores = list(measured.scores.values())
    return [
        ("within 25 %", [percent(found.within_25) for found in scores]),
        ("  in the second half", [percent(found.second_half_within_25) for found in scores]),
        ("tasks with a prediction", [percent(found.coverage) for found in scores]),
        ("median error", [percent(found.median_ape) for found in scores]),
        ("off by more than 2x", [percent(found.off_2x) for found in scores]),
        ("mean |ln(p/y)|", [plain(found.mean_abs_ln) for found in scores]),
        ("mean min/max", [percent(found.mean_min_max) for found in scores]),
        ("interval 80 % holds", [percent(found.interval_80_coverage) for found in scores]),
        ("  its width, p90/p10", [plain(found.interval_80_width) for found in scores]),
        ("predict", [f"{found.predict_ns:.0f} ns" for found in scores]),
        ("learn", [f"{found.learn_ns:.0f} ns" for found in scores]),
        ("notices", [str(found.notices) for found in scores]),
        ("digest", [found.digest for found in scores]),
    ]


def types(name: str, found: Score) -> Table:
    """The types that take most time, as one predictor sees them."""
    table = Table(
        title=f"{name}: types that take most time",
        caption="sigma of ln actual - ln predicted; ceiling: share within 25 % that log-normal noise of this sigma "
        "leaves to the best prediction; core: the same by the quartiles, without the outliers",
    )
    table.add_column("type", overflow="fold", min_width=24)
    for label in ("time", "tasks", "in 25 %", "sigma", "ceiling", "core", "ceiling"):
        table.add_column(label, justify="right")
    for kind in found.types:
        table.add_row(
            kind.task_type,
            percent(kind.time_share),
            str(kind.tasks),
            percent(kind.within_25),
            plain(kind.residual_sigma),
            percent(kind.ceiling),
            plain(kind.core_sigma),
            percent(kind.core_ceiling),
        )
    return table


def percent(share: float | None) -> str:
    """A share in percent."""
    return NOTHING if share is None else f"{share * 100.0:.1f} %"


def plain(value: float | None) -> str:
    """A number to two digits."""
    return NOTHING if value is None else f"{value:.2f}"
