"""What the schedulers of a pool have counted, added up so that a sum never falls.

A scheduler counts from its own start. When another one leads a shard it begins at zero, and what the former had counted
is kept here: else a sum over shards would fall, and Prometheus would take the whole of it for new.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from nexus_sched.model.frame import Frame
from nexus_sched.model.tallies import OTHER_TYPE, TYPES_MAX, Histogram, Tallies

NOTHING = Histogram([], 0.0)
NO_TALLIES = Tallies(0, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, {}, {}, 0, {}, 0, 0.0)


class Totals:
    """Sums over all shards, since this gateway looks."""

    def __init__(self) -> None:
        self._ended = NO_TALLIES  # of schedulers that no longer lead
        self._newest: dict[tuple[str, int], Tallies] = {}  # by pool and shard

    def take(self, frames: Iterable[Frame]) -> Tallies:
        """The sum after these pictures."""
        for frame in frames:
            if frame.tallies is None:
                continue
            key = (frame.pool, frame.shard)
            before = self._newest.get(key)
            if before is not None and before.since_ms != frame.tallies.since_ms:
                self._ended = added(self._ended, before)
            self._newest[key] = frame.tallies
        total = self._ended
        for tallies in self._newest.values():
            total = added(total, tallies)
        return total


def added(one: Tallies, other: Tallies) -> Tallies:
    """The sum of two; of what is no sum the worse, and of the first the lag of nobody who is gone."""
    return Tallies(
        since_ms=0,
        decision_ns=_joined(one.decision_ns, other.decision_ns),
        commit_us=_joined(one.commit_us, other.commit_us),
        dispatch_ms=_joined(one.dispatch_ms, other.dispatch_ms),
        inbox_ms=_joined(one.inbox_ms, other.inbox_ms),
        error_percent=_joined(one.error_percent, other.error_percent),
        execution_ms=_by_type(one.execution_ms, other.execution_ms),
        covered=_counts(one.covered, other.covered),
        intervals=one.intervals + other.intervals,
        fallbacks=_counts(one.fallbacks, other.fallbacks),
        journal_lag_turns=0,
        loop_lag_ms=0.0,
    )


def _joined(one: Histogram, other: Histogram) -> Histogram:
    return Histogram([a + b for a, b in zip_longest(one.counts, other.counts, fillvalue=0)], one.sum + other.sum)


def _by_type(one: dict[str, Histogram], other: dict[str, Histogram]) -> dict[str, Histogram]:
    """At most `TYPES_MAX` types and the others: a type that has its own row keeps it."""
    joined = dict(one)
    for name, histogram in other.items():
        room = name in joined or len(joined) - (OTHER_TYPE in joined) < TYPES_MAX
        kept = name if room or name == OTHER_TYPE else OTHER_TYPE
        joined[kept] = _joined(joined.get(kept, NOTHING), histogram)
    return joined


def _counts(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
