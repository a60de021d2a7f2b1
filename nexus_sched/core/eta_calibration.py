"""Keeps estimates honest: as many tasks end by their p50, p80 and p95 as these names promise.

What the engine computes (`Raw`) is corrected by three numbers, one set for each way in which a task comes to its
worker, because they err differently: placed on a free slot, placed behind others, waited in the queue.
    finish p50 = raw p50 + shift * (raw p80 - raw p50)
    finish p80 = p50 + wide80 * (raw p80 - raw p50), p95 alike
All corrections are in units of the spread, so that what is sure stays as it is when wide types are corrected: with a
factor on the p50 instead, types of a tenth noise lost ten points of their hits to those of a half.

After every end each of them moves by a small step so that its quantile is met (adaptive conformal: `ln s += gain *
(miss - nominal)`, prediction.md; here as a product, which needs no logarithm). Judged is what would be said now, not
what was said then: so a long queue of estimates that are not due yet does not make the corrections swing.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

FREE_SLOT, BEHIND, WAITED = range(3)  # how a task came, or will come, to its worker
GAIN_FIRST, GAIN_MIN = 0.25, 0.02  # of the widths: 0.02 follows a few hundred ends
SHIFT_GAIN_SHARE = 0.25  # every estimate moves with it, so it is slower than the widths
WIDTH_MAX = 20.0
SHIFT_MAX = 10.0
SPREAD_SHARE_MIN = 0.02  # of the p50: what is never wide could not be widened


class Raw(NamedTuple):
    """Quantiles of start and finish before calibration, in ms from now on; `spread` is the distance from the p50."""

    start_p50_ms: float
    start_spread80_ms: float
    start_spread95_ms: float
    finish_p50_ms: float
    finish_spread80_ms: float
    finish_spread95_ms: float
    confidence: float
    basis: str
    way: int  # FREE_SLOT, BEHIND or WAITED


class Factors(Struct, array_like=True):
    """The corrections for one way."""

    shift: float = 0.0
    wide80: float = 1.0
    wide95: float = 1.0
    ends: int = 0

    def quantiles(self, raw: Raw) -> tuple[float, float, float]:
        """Finish p50, p80 and p95 in ms, calibrated."""
        least_ms = SPREAD_SHARE_MIN * raw.finish_p50_ms
        spread_ms = max(raw.finish_spread80_ms, least_ms)
        p50_ms = max(raw.finish_p50_ms + self.shift * spread_ms, least_ms)
        p80_ms = p50_ms + self.wide80 * spread_ms
        p95_ms = p50_ms + self.wide95 * max(raw.finish_spread95_ms, 2.0 * least_ms)
        return p50_ms, p80_ms, max(p80_ms, p95_ms)

    def learn(self, raw: Raw, actual_ms: float) -> None:
        """A task of which `raw` was thought has ended after `actual_ms`."""
        p50_ms, p80_ms, p95_ms = self.quantiles(raw)
        self.ends += 1
        gain = max(GAIN_MIN, GAIN_FIRST / self.ends)
        step = SHIFT_GAIN_SHARE * gain * ((actual_ms > p50_ms) - 0.5)
        self.shift = min(max(self.shift + step, -SHIFT_MAX), SHIFT_MAX)
        self.wide80 = _within(self.wide80 * (1.0 + gain * ((actual_ms > p80_ms) - 0.2)))
        self.wide95 = _within(self.wide95 * (1.0 + gain * ((actual_ms > p95_ms) - 0.05)))


def _within(width: float) -> float:
    return min(max(width, 1.0 / WIDTH_MAX), WIDTH_MAX)


class Calibration(Struct, array_like=True):
    """All factors, and how right the latest estimates were."""

    free_slot: Factors
    behind: Factors
    waited: Factors
    recent_within: float = -1.0
    ends: int = 0

    @staticmethod
    def fresh() -> Calibration:
        """Nothing is corrected yet."""
        return Calibration(Factors(), Factors(), Factors())

    def factors(self, way: int) -> Factors:
        """The corrections for this way."""
        return (self.free_slot, self.behind, self.waited)[way]

    def count(self, *, within: bool) -> None:
        """One more estimate at submission has proved right or wrong."""
        self.ends += 1
        share = max(GAIN_MIN, 1.0 / self.ends)
        before = max(self.recent_within, 0.0)
        self.recent_within = before + share * (within - before)


def on_time(quantiles: tuple[float, float, float], limit_ms: float) -> float:
    """Probability of an end within `limit_ms`: piecewise linear through the quantiles, mirrored below the median."""
    p50_ms, p80_ms, p95_ms = quantiles
    if limit_ms <= 0.0 or p50_ms <= 0.0:
        return 0.0 if limit_ms < p50_ms or limit_ms <= 0.0 else 1.0
    points = (
        (0.0, 0.0),
        (p50_ms * p50_ms / p95_ms, 0.05),
        (p50_ms * p50_ms / p80_ms, 0.2),
        (p50_ms, 0.5),
        (p80_ms, 0.8),
        (p95_ms, 0.95),
        (2.0 * p95_ms - p50_ms, 0.99),
    )
    below_ms, below = points[0]
    for at_ms, share in points[1:]:
        if limit_ms < at_ms:
            return below + (share - below) * (limit_ms - below_ms) / (at_ms - below_ms)
        below_ms, below = at_ms, share
    return 1.0
