"""Figures of several seeds as one: their mean, and the half-width of its 95 % confidence interval.

The interval is Student's, seeds being independent draws of the workload; one seed has none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from nexus_sched.sim.figures import FIGURES, Figures
from nexus_sched.sim.policies import BASELINE, ORACLE

# Quantile 0.975 of Student's t by degrees of freedom, from 1; beyond the last the normal one.
T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
NORMAL_975 = 1.960
GAP_SHARE_MIN = 0.005  # of the baseline's response: where knowledge brings less, shares of it are noise


def means(runs: Sequence[Figures]) -> dict[str, float | None]:
    """Mean over seeds of every figure; over those seeds that have it."""
    return {figure.name: mean(_values(runs, figure.name)) for figure in FIGURES}


def half_widths(runs: Sequence[Figures]) -> dict[str, float | None]:
    """Half-width of the confidence interval of every figure."""
    return {figure.name: half_width(_values(runs, figure.name)) for figure in FIGURES}


def gap_closed(ours: Figures, baseline: Figures, oracle: Figures) -> float | None:
    """How much of the way from the baseline to perfect knowledge a policy went, by mean response; 1 is all of it.

    `None` if there is hardly a way to go.
    """
    found = [figures.get("response_s.mean") for figures in (ours, baseline, oracle)]
    mine, theirs, best = found
    if mine is None or theirs is None or best is None or theirs - best < GAP_SHARE_MIN * theirs:
        return None
    return (theirs - mine) / (theirs - best)


def with_gaps(by_policy: dict[str, dict[str, float | None]]) -> None:
    """Add `gap_closed` to the figures of every policy of one seed, if both ends of the gap were run."""
    if BASELINE in by_policy and ORACLE in by_policy:
        for figures in by_policy.values():
            figures["gap_closed"] = gap_closed(figures, by_policy[BASELINE], by_policy[ORACLE])


def _values(runs: Sequence[Figures], name: str) -> list[float]:
    return [value for figures in runs if (value := figures.get(name)) is not None]


def mean(values: Sequence[float]) -> float | None:
    """Their mean, `None` of nothing."""
    return fmean(values) if values else None


def half_width(values: Sequence[float]) -> float | None:
    """Half-width of the 95 % confidence interval of their mean; of a single value there is none."""
    if len(values) < 2:
        return None
    degrees = len(values) - 1
    quantile = T_975[degrees - 1] if degrees <= len(T_975) else NORMAL_975
    return quantile * stdev(values) / math.sqrt(len(values))
