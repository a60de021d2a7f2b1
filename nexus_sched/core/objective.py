"""What a pool is run for, as one set of weights: the only place where an objective becomes numbers.

`latency` looks at waiting and run time alone; `throughput` lets a task wait a little for a worker that is good at it,
so that less worker time is spent; `balance` levels utilisation; `custom` takes every weight as it is configured. What a
task brings with it (affinity, payload to be moved, a preferred label) counts under every objective.
"""

from __future__ import annotations

from typing import NamedTuple

from nexus_sched.model.settings import BALANCE, CUSTOM, THROUGHPUT, EngineSettings

THROUGHPUT_WAIT_WEIGHT = 0.5  # of the configured one
BALANCE_MS = 20.0  # per unit of utilisation, if none is configured
BALANCE_SHARE = 0.25  # of the run time: what counts as a near tie, of which the least loaded worker is taken
FIT_MS = 10.0  # per share left unused, if none is configured: keep room for large requests
_DIGEST_RANGE = 2.0**64


class Weights(NamedTuple):
    """Milliseconds, or milliseconds per millisecond; see `EngineSettings`."""

    wait_weight: float
    balance_ms: float
    fit_ms: float
    near_tie_share: float
    near_tie_ms: float
    explore_margin: float  # of the run time: what counts as a near tie when exploring
    explore_below: int  # digests of task ids below this one explore


def weights_of(settings: EngineSettings) -> Weights:
    """The weights that decisions are made with."""
    wait, balance_ms, fit_ms, share = settings.wait_weight, 0.0, 0.0, settings.near_tie_share
    if settings.objective == THROUGHPUT:
        wait, fit_ms = wait * THROUGHPUT_WAIT_WEIGHT, settings.fit_ms or FIT_MS
    elif settings.objective == BALANCE:
        balance_ms, share = settings.balance_ms or BALANCE_MS, max(share, BALANCE_SHARE)
    elif settings.objective == CUSTOM:
        balance_ms, fit_ms = settings.balance_ms, settings.fit_ms
    explore = min(max(settings.explore_share, 0.0), 1.0)
    return Weights(
        wait,
        balance_ms,
        fit_ms,
        share,
        settings.near_tie_ms,
        max(share, settings.explore_margin),
        int(explore * _DIGEST_RANGE),
    )
