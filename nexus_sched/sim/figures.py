"""The figures of a comparison: their names in JSON, what they are called for people, and how they are written.

A set of figures is a dictionary by name; `None` where there is nothing to say. A dot in a name is a level in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

Figures = Mapping[str, float | None]

NOTHING = "-"


class Figure(Struct, frozen=True):
    """One figure: `kind` is the unit it is shown in, `table` which of the tables for people has it."""

    name: str
    label: str
    kind: str  # "s", "share", "ratio", "count" or "rate"
    table: int = 0

    def text(self, value: float | None) -> str:
        """The value as people read it."""
        if value is None:
            return NOTHING
        if self.kind == "share":
            return f"{value * 100.0:.{1 if abs(value) < 10.0 else 0}f} %"
        if self.kind == "rate":
            return f"{value:,.0f}"
        if self.kind == "count":
            return f"{value:.0f}" if value == int(value) else f"{value:.1f}"
        digits = 3 if abs(value) < 10.0 else 1
        return f"{value:.{digits}f}" + (" s" if self.kind == "s" else "")


FIGURES = (
    Figure("response_s.mean", "mean response", "s"),
    Figure("response_s.p50", "p50", "s"),
    Figure("response_s.p99", "p99", "s"),
    Figure("slowdown.mean", "slowdown", "ratio"),
    Figure("slowdown.p99", "p99", "ratio"),
    Figure("gap_closed", "gap closed", "share"),
    Figure("utilisation.mean", "busy", "share", 1),
    Figure("utilisation.cv", "CV of busy", "ratio", 1),
    Figure("utilisation.spread", "max - min", "share", 1),
    Figure("type_cv", "CV by type", "ratio", 1),
    Figure("wait_max_s", "longest wait", "s", 1),
    Figure("starved", "starved", "share", 1),
    Figure("prediction_within_25", "predicted in 25 %", "share", 2),
    Figure("eta_coverage", "with ETA", "share", 2),
    Figure("eta_within_25", "in 25 %", "share", 2),
    Figure("eta_within_25_predictable", "predictable", "share", 2),
    Figure("eta_p80_coverage", "by p80", "share", 2),
    Figure("eta_p80_coverage_predictable", "predictable", "share", 2),
    Figure("eta_refreshed", "told again", "share", 2),
    Figure("tenants.modest_slowdown", "modest tenants' slowdown", "ratio", 2),
    Figure("tenants.heavy_slowdown", "heavy ones'", "ratio", 2),
    Figure("warm", "warm runs", "share", 2),
    Figure("recalls", "recalled", "count", 2),
    Figure("unfinished", "given up", "count", 2),
    Figure("repeated", "ended twice", "count", 2),
    Figure("decisions_per_s", "decisions/s", "rate", 2),
)


def nested(figures: Figures) -> dict[str, object]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`, in the order of `FIGURES`."""
    found: dict[str, object] = {}
    for figure in FIGURES:
        head, _, rest = figure.name.partition(".")
        value = figures.get(figure.name)
        if rest:
            level = found.setdefault(head, {})
            assert isinstance(level, dict)
            level[rest] = value
        else:
            found[head] = value
    return found
