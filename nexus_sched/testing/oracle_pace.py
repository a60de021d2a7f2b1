"""The plain Python twin of `csrc/nexus_pace.c`: how fast one worker is, by its runs. Equal to it bit for bit.

Law: nothing here is shared with the kernel, neither code nor constants. float64 throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PlainRun:
    """A run, and what had been predicted for it."""

    run_ms: float
    class_ms: float  # what its type takes on an average worker
    told_pace: float
    p50_ms: float
    mean_ms: float
    p95_ms: float
    p10_ms: float
    p90_ms: float

    @property
    def spread(self) -> float:
        """Relative; one half if nothing was said of it."""
        width_ms = self.p90_ms - self.p10_ms
        if self.p50_ms > 0.0 and self.mean_ms > 0.0 and width_ms > 0.0:
            return min(width_ms / (2.563103 * self.p50_ms), 1e150)
        return 0.5


@dataclass
class PlainPace:
    """`WorkerPace`; `learn` and `observe` are those of `Paces`."""

    factor: float = 1.0
    doubt: float = 0.09
    pace: float = 1.0
    samples: int = 0
    pace_samples: int = 0
    sums: tuple[float, float, int, float, float, float] | None = None

    def observe(self, run: PlainRun) -> float:
        """Measured / expected since the pace has changed, 0 if it has not."""
        if run.run_ms <= 0.0 or run.class_ms <= 0.0 or run.p50_ms <= 0.0:
            return 0.0
        if self.sums is None and 1.0 / 1.25 * run.p50_ms <= run.run_ms <= 1.25 * run.p50_ms:
            return 0.0
        away = deviation(run.run_ms, run.p50_ms, run.p95_ms)
        if self.sums is None and abs(away) <= 1.0:
            return 0.0
        slower, faster, runs, run_ms, expected_ms, former = self.sums or (0.0, 0.0, 0, 0.0, 0.0, self.factor)
        slower, faster = max(0.0, slower + away - 1.0), max(0.0, faster - away - 1.0)
        if slower == faster == 0.0:
            self.sums = None
            return 0.0
        run_ms, expected_ms = run_ms + run.run_ms, expected_ms + run.class_ms
        self.sums = (slower, faster, runs + 1, run_ms, expected_ms, former)
        return run_ms / expected_ms if max(slower, faster) >= 6.0 else 0.0

    def learn(self, typical: float, run: PlainRun) -> float:
        """Move factor and pace; the new `typical`."""
        if run.run_ms > 0.0 and run.class_ms > 0.0:
            typical = self._learn_factor(typical, run)
        if run.run_ms > 0.0 and run.p50_ms > 0.0:
            self._learn_pace(run)
        return typical

    def _learn_factor(self, typical: float, run: PlainRun) -> float:
        median = run.p50_ms / run.mean_ms if run.p50_ms > 0.0 and run.mean_ms > 0.0 else 1.0
        typical_ms = typical * median * run.class_ms
        variance = max(run.spread, 0.25) * max(run.spread, 0.25)
        step = self.doubt / (self.doubt + variance / (1.0 + variance))
        self.samples += 1
        self.doubt = (1.0 - step) * self.doubt + 2e-4
        moved = self.factor * (1.0 + step * surprise(run.run_ms, self.factor * typical_ms))
        self.factor = min(max(moved, 0.05), 20.0)
        share = 0.002 / unsureness(run.spread)
        return min(max(typical * (1.0 + share * surprise(run.run_ms, typical_ms)), 0.5), 2.0)

    def _learn_pace(self, run: PlainRun) -> None:
        off = surprise(run.run_ms, run.p50_ms / run.told_pace * self.pace)
        self.pace_samples += 1
        step = max(0.05, 1.0 / (self.pace_samples + 4.0)) / unsureness(run.spread)
        if (self.pace - 1.0) * off < 0.0:
            step = min(step * 3.0, 0.5)
        self.pace = min(max(self.pace * (1.0 + step * off), 0.25), 4.0)

    @property
    def significant(self) -> float:
        """The factor that the choice goes by."""
        return self.factor if abs(self.factor - 1.0) > max(0.1, 2.0 * math.sqrt(self.doubt) * self.factor) else 1.0


def deviation(run_ms: float, p50_ms: float, p95_ms: float) -> float:
    """How far a run is from its prediction, in spreads."""
    ratio, spread = run_ms / p50_ms, max(0.25, (p95_ms / p50_ms - 1.0) / 1.645)
    if ratio >= 1.0:
        return min((ratio - 1.0) / spread, 4.0)
    return -min((1.0 / ratio - 1.0) / spread, 4.0)


def surprise(run_ms: float, median_ms: float) -> float:
    """Bounded, and odd in the logarithm of the ratio."""
    return min(max(2.0 * (run_ms - median_ms) / (run_ms + median_ms), -1.0), 1.0)


def unsureness(spread: float) -> float:
    """By how much less a run counts that was predicted with this spread."""
    return 1.0 + (spread / 0.5) * (spread / 0.5)
