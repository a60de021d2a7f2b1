"""Pictures as SVG, drawn from numbers alone: predicted against actual, and how often quantiles hold.

Laws of this file: equal numbers give equal pictures; points are sampled evenly, never at random; no script, no
font, no file beside the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nexus_sched.accuracy.score import QUANTILES, WITHIN, Columns

WIDTH, HEIGHT, MARGIN = 430, 350, 56  # pixels
POINTS_MAX = 1_500
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # told apart by everybody
DECADES_MARKED_MAX = 8


class _Frame:
    """A square of numbers on the picture: `low`..`high` on both axes."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._scale = low, 1.0 / (high - low)

    def x(self, value: float) -> float:
        return round(MARGIN + (value - self._low) * self._scale * (WIDTH - MARGIN - 12), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - MARGIN - (value - self._low) * self._scale * (HEIGHT - MARGIN - 12), 1)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.x(x)} {self.y(y)}" for x, y in points)


def scatter(beside: Columns, label: str, colour: str) -> str:
    """Predicted against actual on logarithmic axes, with the band within 25 %."""
    actual, predicted = beside.actual_ms[beside.usable], beside.predicted_ms[beside.usable]
    if not len(actual):
        return _svg(label, f'<text x="{MARGIN}" y="40">no predictions</text>')
    places = np.unique(np.linspace(0, len(actual) - 1, min(len(actual), POINTS_MAX)).astype(int))
    x, y = np.log10(actual[places]), np.log10(predicted[places])
    low, high = float(min(x.min(), y.min())) - 0.1, float(max(x.max(), y.max())) + 0.1
    frame = _Frame(low, high)
    below, above = math.log10(1.0 - WITHIN), math.log10(1.0 + WITHIN)
    band = [(low, low + below), (high, high + below), (high, high + above), (low, low + above)]
    dots = "".join(f"M{frame.x(a)} {frame.y(b)}h0" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    parts = [
        _axes(),
        f'<clipPath id="c"><rect x="{MARGIN}" y="12" width="{WIDTH - MARGIN - 12}" '
        f'height="{HEIGHT - MARGIN - 12}"/></clipPath>',
        f'<g clip-path="url(#c)"><path d="{frame.path(band)}Z" class="band"/>',
        f'<path d="{frame.path([(low, low), (high, high)])}" class="ideal"/>',
        f'<path d="{dots}" stroke="{colour}" class="dots"/></g>',
        *_decades(frame, low, high),
        _captions("actual", "predicted"),
    ]
    return _svg(label, "".join(parts))


def reliability(coverage: Mapping[str, Mapping[str, float]]) -> str:
    """Share of tasks at or below each predicted quantile against the quantile's name, for every predictor."""
    frame = _Frame(0.0, 1.0)
    parts = [_axes(), f'<path d="{frame.path([(0.0, 0.0), (1.0, 1.0)])}" class="ideal"/>']
    for tick in (0.1, 0.5, 0.8, 0.95):
        parts.append(f'<text x="{frame.x(tick)}" y="{HEIGHT - MARGIN + 16}" class="tick">{tick * 100.0:.0f}</text>')
        parts.append(f'<text x="{MARGIN - 6}" y="{frame.y(tick) + 4}" class="tick end">{tick * 100.0:.0f}</text>')
    for (name, shares), colour in zip(coverage.items(), COLOURS, strict=False):
        points = [(QUANTILES[quantile], share) for quantile, share in shares.items()]
        if not points:
            continue
        parts.append(f'<path d="{frame.path(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{frame.x(x)}" cy="{frame.y(y)}" r="3.5" fill="{colour}"/>' for x, y in points]
        place = frame.y(0.3) + 16 * list(coverage).index(name)
        parts.append(f'<text x="{frame.x(0.62)}" y="{place}" fill="{colour}">{name}</text>')
    parts.append(_captions("nominal quantile, %", "tasks at or below it, %"))
    return _svg("how often predicted quantiles hold", "".join(parts))


def _decades(frame: _Frame, low: float, high: float) -> list[str]:
    """Marks at powers of ten on both axes."""
    marked = range(math.ceil(low), math.floor(high) + 1)
    step = max(1, math.ceil(len(marked) / DECADES_MARKED_MAX))
    parts = []
    for power in marked[::step]:
        name = _duration(power)
        parts.append(f'<text x="{frame.x(power)}" y="{HEIGHT - MARGIN + 16}" class="tick">{name}</text>')
        parts.append(f'<text x="{MARGIN - 6}" y="{frame.y(power) + 4}" class="tick end">{name}</text>')
    return parts


def _duration(power: int) -> str:
    """10 ** power milliseconds in words."""
    if power < 0:
        return f"{10.0 ** (power + 3):g} us"
    return f"{10**power} ms" if power < 3 else f"{10 ** (power - 3)} s"


def _axes() -> str:
    return f'<path d="M{MARGIN} 12V{HEIGHT - MARGIN}H{WIDTH - 12}" class="axis"/>'


def _captions(x: str, y: str) -> str:
    return (
        f'<text x="{WIDTH / 2:g}" y="{HEIGHT - 10}" class="tick">{x}</text>'
        f'<text x="11" y="{HEIGHT / 2:g}" class="tick" transform="rotate(-90 11 {HEIGHT / 2:g})">{y}</text>'
    )


def _svg(label: str, body: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{label}">'
        f"<title>{label}</title>{body}</svg>"
    )
