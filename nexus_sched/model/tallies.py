"""What the scheduler has counted for those who measure it: histograms with buckets that double, and plain counts.

They travel in the frame. Counting goes on from the start of a scheduler's process; a successor begins at zero, and
whoever adds up the shards of a pool takes care of that (`gateway.metrics.totals`).
"""

from __future__ import annotations

from msgspec import Struct

TYPES_MAX = 200  # task types with a histogram of their own; all others share one
OTHER_TYPE = "other"


class Histogram(Struct, array_like=True):
    """`counts[k]` are values from 2^(k-1) up to 2^k, `counts[0]` those below 1; zeros at the end are left out."""

    counts: list[int]
    sum: float

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.counts)


class Tallies(Struct, array_like=True):
    """All that is counted. The unit of a histogram is in its name; errors are |predicted - measured| / measured."""

    since_ms: int  # when counting began, by the wall clock: another instant is another beginning
    decision_ns: Histogram
    commit_us: Histogram
    dispatch_ms: Histogram  # from the submission of a task to its dispatch
    inbox_ms: Histogram  # from there to its start
    error_percent: Histogram
    execution_ms: dict[str, Histogram]  # by task type
    covered: dict[str, int]  # by quantile: runs that took no longer than it had promised
    intervals: int  # runs that had been given quantiles
    fallbacks: dict[str, int]  # by reason: how often prediction was stepped down from
    journal_lag_turns: int  # decided and not yet confirmed by the store
    loop_lag_ms: float  # how late the scheduler's event loop was the last time it looked
