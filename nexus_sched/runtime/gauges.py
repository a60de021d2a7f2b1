"""Counting without slowing down: a histogram with logarithmic buckets, one list index per observation."""

from __future__ import annotations

from math import frexp

from nexus_sched.model.frame import Spread

_STEPS = 16  # buckets per doubling: a quantile is off by at most 1 / 16
_DOUBLINGS = 40  # up to 2^40 times the unit


class LogHistogram:
    """Counts of positive values in buckets 1 / 16 of a doubling wide."""

    def __init__(self) -> None:
        self._counts = [0] * (_STEPS * _DOUBLINGS)
        self.count = 0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value` `times` times. Values below 1 fall into the first bucket."""
        if value < 1.0:
            index = 0
        else:
            mantissa, exponent = frexp(value)  # value = mantissa * 2^exponent, 0.5 <= mantissa < 1
            index = (exponent - 1) * _STEPS + int((mantissa - 0.5) * 2 * _STEPS)
        self._counts[min(index, len(self._counts) - 1)] += times
        self.count += times

    def quantile(self, share: float) -> float:
        """Upper edge of the bucket that holds the quantile; 0 if nothing was counted."""
        wanted = share * self.count
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                doubling, step = divmod(index, _STEPS)
                return float((1 << doubling) * (1 + (step + 1) / _STEPS))
        return 0.0

    def spread(self, scale: float) -> Spread:
        """Median and 99th percentile times `scale`."""
        return Spread(self.quantile(0.5) * scale, self.quantile(0.99) * scale, self.count)

    def clear(self) -> None:
        """Forget everything."""
        self._counts = [0] * len(self._counts)
        self.count = 0
