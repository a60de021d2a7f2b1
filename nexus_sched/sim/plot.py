"""A picture as SVG, drawn from numbers alone: axes, lines, bands and clouds of dots.

Laws: equal numbers give equal pictures, points are thinned evenly and never at random; no script, no font, no file
beside the page. Colours are variables of the page, so that one picture serves dark and light; what colour tells is also
told by dashes or by words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 42  # pixels around the axes
DECADES_MARKED_MAX = 8
MINUTE_S, HOUR_S = 60.0, 3_600.0

Point = tuple[float, float]


class Axis(Struct, frozen=True):
    """What lies along one side: from `low` to `high`, in powers of ten if `logarithmic`."""

    name: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 at `low` and 1 at `high`; beyond that too."""
        if self.logarithmic:
            low, high = math.log10(self.low), math.log10(self.high)
            return (math.log10(max(value, self.low / 10.0)) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


class Picture:
    """One picture; what is added later lies on top."""

    def __init__(self, label: str, across: Axis, up: Axis, width: int = 520, height: int = 320) -> None:
        self._label, self._across, self._up = label, across, up
        self._width, self._height = width, height
        self._parts: list[str] = []

    def line(self, points: Sequence[Point], style: str) -> None:
        """A line through points; `style` is a class of the page."""
        if points:
            self._parts.append(f'<path d="{self._path(points)}" class="line {style}"/>')

    def area(self, points: Sequence[Point], style: str) -> None:
        """An area within points."""
        if points:
            self._parts.append(f'<path d="{self._path(points)}Z" class="area {style}"/>')

    def dots(self, points: Sequence[Point], style: str) -> None:
        """A cloud."""
        drawn = "".join(f"M{self._x(x)} {self._y(y)}h0" for x, y in points)
        self._parts.append(f'<path d="{drawn}" class="dots {style}"/>')

    def rule(self, value: float, text: str) -> None:
        """A thin line across at a value, with a word above its left end."""
        y = self._y(value)
        self._parts.append(f'<path d="M{LEFT} {y}H{self._width - RIGHT}" class="rule"/>')
        self._parts.append(f'<text x="{LEFT + 6}" y="{y - 4}" class="tick">{escape(text)}</text>')

    def svg(self) -> str:
        """The picture. Its label is what a screen reader says; figures are in the table of the page."""
        inside = f'x="{LEFT}" y="{TOP}" width="{self._width - LEFT - RIGHT}" height="{self._height - TOP - BOTTOM}"'
        return (
            f'<svg viewBox="0 0 {self._width} {self._height}" role="img" aria-label="{escape(self._label)}">'
            f"<title>{escape(self._label)}</title>{''.join(self._axes())}"
            f'<svg {inside} viewBox="{inside_view(self._width, self._height)}">{"".join(self._parts)}</svg></svg>'
        )

    def _x(self, value: float) -> float:
        return round(LEFT + self._across.share(value) * (self._width - LEFT - RIGHT), 1)

    def _y(self, value: float) -> float:
        return round(self._height - BOTTOM - self._up.share(value) * (self._height - TOP - BOTTOM), 1)

    def _path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{self._x(x)} {self._y(y)}" for x, y in points)

    def _axes(self) -> list[str]:
        floor, right = self._height - BOTTOM, self._width - RIGHT
        parts = []
        for value, text in self._across.ticks:
            x = self._x(value)
            parts.append(f'<path d="M{x} {TOP}V{floor}" class="grid"/>')
            parts.append(f'<text x="{x}" y="{floor + 16}" class="tick middle">{escape(text)}</text>')
        for value, text in self._up.ticks:
            y = self._y(value)
            parts.append(f'<path d="M{LEFT} {y}H{right}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 7}" y="{y + 4}" class="tick end">{escape(text)}</text>')
        parts.append(f'<path d="M{LEFT} {TOP}V{floor}H{right}" class="axis"/>')
        middle = (LEFT + right) / 2
        parts.append(
            f'<text x="{middle:g}" y="{self._height - 6}" class="name middle">{escape(self._across.name)}</text>'
        )
        height = (TOP + floor) / 2
        parts.append(
            f'<text x="12" y="{height:g}" class="name middle" transform="rotate(-90 12 {height:g})">'
            f"{escape(self._up.name)}</text>"
        )
        return parts


def inside_view(width: int, height: int) -> str:
    """The part of the picture within the axes: what is drawn there is cut at its edges."""
    return f"{LEFT} {TOP} {width - LEFT - RIGHT} {height - TOP - BOTTOM}"


def shares(name: str, low: float = 0.0, high: float = 1.0, steps: int = 4) -> Axis:
    """An axis of shares, marked in percent."""
    values = [low + (high - low) * step / steps for step in range(steps + 1)]
    return Axis(name, low, high, tuple((value, f"{value * 100.0:.0f} %") for value in values))


def decades(name: str, low_ms: float, high_ms: float) -> Axis:
    """A logarithmic axis of durations in milliseconds, marked at powers of ten."""
    marked = range(math.ceil(math.log10(low_ms)), math.floor(math.log10(high_ms)) + 1)
    step = max(1, math.ceil(len(marked) / DECADES_MARKED_MAX))
    ticks = tuple((10.0**power, duration(10.0**power)) for power in marked[::step])
    return Axis(name, low_ms, high_ms, ticks, logarithmic=True)


def times(name: str, until_ms: float) -> Axis:
    """An axis from 0 on, marked at round instants."""
    rough = max(until_ms, 1.0) / 5.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1.0, 2.0, 5.0, 10.0) if power * each >= rough)
    count = math.floor(until_ms / step)
    return Axis(name, 0.0, max(until_ms, 1.0), tuple((step * each, duration(step * each)) for each in range(count + 1)))


def duration(time_ms: float) -> str:
    """Milliseconds in words."""
    if time_ms == 0.0:
        return "0"
    if time_ms < 1.0:
        return f"{time_ms * 1_000.0:g} us"
    if time_ms < 1_000.0:
        return f"{time_ms:g} ms"
    return f"{time_ms / 1_000.0:,g} s"
