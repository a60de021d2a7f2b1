"""The statistics of the final table, in plain Python over at most some hundred thousand values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct


class Quantiles(Struct, frozen=True):
    """Three quantiles of one measure; `None` without a single value."""

    p50: float | None
    p95: float | None
    p99: float | None


class Tails(Struct, frozen=True):
    """Median and tail of one measure; `None` without a single value."""

    p50: float | None
    p99: float | None


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the sorted `ordered` lies, linear between neighbours."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def quantiles(values: Iterable[float]) -> Quantiles:
    """p50, p95 and p99 of `values`."""
    ordered = sorted(values)
    return Quantiles(quantile(ordered, 0.5), quantile(ordered, 0.95), quantile(ordered, 0.99))


def tails(values: Iterable[float]) -> Tails:
    """p50 and p99 of `values`."""
    ordered = sorted(values)
    return Tails(quantile(ordered, 0.5), quantile(ordered, 0.99))


def variation(values: Sequence[float]) -> float | None:
    """Coefficient of variation: standard deviation of the population over its mean.

    `None` without values or with a mean of 0, where it means nothing.
    """
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    if mean == 0.0:
        return None
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)) / mean


def variation_by_group(groups: Mapping[str, Sequence[float]]) -> float | None:
    """Mean of the groups' coefficients of variation, each weighted by its count of values."""
    weighted = [
        (len(values), cv) for values in groups.values() if len(values) > 1 and (cv := variation(values)) is not None
    ]
    total = sum(count for count, _ in weighted)
    return math.fsum(count * cv for count, cv in weighted) / total if total else None


def share_within(pairs: Iterable[tuple[float, float]], tolerance: float) -> float | None:
    """Share of `(predicted, actual)` with `|predicted - actual| / actual <= tolerance`, actual above 0."""
    hits = [abs(predicted - actual) <= tolerance * actual for predicted, actual in pairs if actual > 0.0]
    return sum(hits) / len(hits) if hits else None
