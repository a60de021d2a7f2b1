"""Whether a worker's pace has changed: a cumulative sum over how far its runs are from what was predicted for it.

Two sums, one for slower and one for faster (Page, 1954): each run adds its deviation less `SLACK`, never below 0; a sum
of `ALARM` says that the pace has changed, and the runs since that sum was last 0 say to what. So two runs that take
five times as long are enough, and a single wild run is not.
The deviation is `measured / predicted - 1`, or for faster runs the same of the inverse, in units of the spread that was
predicted, so runs of a wide type say less. It is a ratio and not a logarithm: no libm in state.
"""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.model.prediction import TaskPrediction

SLACK = 1.0
ALARM = 6.0
DEVIATION_MAX = 4.0  # of one run
SPREAD_MIN = 0.25  # relative; predictions are not better than that
P95_NORMAL = 1.645  # standard deviations from the median to the 95th percentile
NEAR_MAX = 1.0 + SLACK * SPREAD_MIN  # a run within these, relative to its prediction, never adds to a sum
NEAR_MIN = 1.0 / NEAR_MAX


class PaceDrift(Struct, array_like=True):
    """The two sums of one worker, and the runs behind them."""

    slower: float = 0.0
    faster: float = 0.0
    runs: int = 0  # since both sums were 0
    run_ms: float = 0.0  # their measured time
    expected_ms: float = 0.0  # what their type takes on an average worker
    former: float = 1.0  # the worker's factor before them

    def observe(self, away: float, run_ms: float, expected_ms: float) -> float:
        """Take in a run `away` from its prediction; gives measured / expected since the change, 0 if there is none."""
        self.slower = max(0.0, self.slower + away - SLACK)
        self.faster = max(0.0, self.faster - away - SLACK)
        if self.settled:
            return 0.0
        self.runs += 1
        self.run_ms += run_ms
        self.expected_ms += expected_ms
        return self.run_ms / self.expected_ms if max(self.slower, self.faster) >= ALARM else 0.0

    @property
    def settled(self) -> bool:
        """Whether its runs are as predicted; then it need not be kept."""
        return self.slower == 0.0 == self.faster


class SlowedPace(Struct, array_like=True):
    """What is kept of a worker whose pace changed for the worse, see `core.forgiving`."""

    factor: float  # its slow pace
    former: float  # the one before
    every_ms: int  # between two steps back
    due_ms: int = 0  # the next one, 0 if it is all the way back


def deviation(run_ms: float, prediction: TaskPrediction) -> float:
    """How far a run is from its prediction, in spreads; above 0 if slower. Both must be positive.

    Most runs need no sum to be kept: `abs(...) <= SLACK` adds to none.
    """
    ratio = run_ms / prediction.p50_ms
    spread = max(SPREAD_MIN, (prediction.p95_ms / prediction.p50_ms - 1.0) / P95_NORMAL)
    if ratio >= 1.0:
        return min((ratio - 1.0) / spread, DEVIATION_MAX)
    return -min((1.0 / ratio - 1.0) / spread, DEVIATION_MAX)
