"""What a running task has still to do, given that it has not ended yet.

For placing, a task past most of its prediction is taken to need half as long again (`core.freeing`), whatever its type:
that is safe. For telling people it is too much where runs hardly vary: a task of 100 ms that never took more than 110
has not 45 ms left after 90. So here the quantiles of its prediction are used: of the runs that are as long as this one
has become, half are over by the conditional median. Beyond everything that was predicted the safe rule holds.
"""

from __future__ import annotations

from math import sqrt

from nexus_sched.core.freeing import REMAINING_SHARE
from nexus_sched.model.prediction import TaskPrediction

# Between and beyond the predicted quantiles (0.5, 0.8, 0.95) instants are products and roots of them, which on a scale
# of logarithms lie in between; these are the shares of the normal distribution there.
SHARES = (0.0, 0.05, 0.2, 0.337, 0.5, 0.663, 0.8, 0.8931, 0.95, 0.9801, 0.9932, 0.9995)
P50_MS_MIN = 1e-3
PAST_SPREAD80, PAST_SPREAD95 = 0.5, 1.0  # of the median, once a run is longer than all that was predicted


def left_ms(prediction: TaskPrediction, passed_ms: float) -> tuple[float, float, float]:
    """p50, p80 and p95 in ms of what is left of a run that has taken `passed_ms`."""
    instants = _instants(prediction)
    if passed_ms >= instants[-1]:
        median_ms = REMAINING_SHARE * passed_ms
        return median_ms, (1.0 + PAST_SPREAD80) * median_ms, (1.0 + PAST_SPREAD95) * median_ms
    over = _share(instants, passed_ms)
    p50_ms, p80_ms, p95_ms = (_instant(instants, over + share * (1.0 - over)) - passed_ms for share in (0.5, 0.8, 0.95))
    return p50_ms, p80_ms, p95_ms


def _instants(prediction: TaskPrediction) -> tuple[float, ...]:
    """When the shares of `SHARES` of such runs are over; below the median mirrored, as ratios."""
    p50_ms = prediction.p50_ms
    p80_ms = max(prediction.p80_ms, p50_ms)
    p95_ms = max(prediction.p95_ms, p80_ms)
    if p50_ms <= P50_MS_MIN:
        return (0.0,) * len(SHARES)
    p66_ms, p89_ms = sqrt(p50_ms * p80_ms), sqrt(p80_ms * p95_ms)
    ratio = p95_ms / p50_ms
    beyond = (p95_ms * sqrt(sqrt(ratio)), p95_ms * sqrt(ratio), p95_ms * ratio)
    below = (p50_ms / (ratio * ratio), *(p50_ms * p50_ms / above_ms for above_ms in (p95_ms, p80_ms, p66_ms)))
    return (*below, p50_ms, p66_ms, p80_ms, p89_ms, p95_ms, *beyond)


def _share(instants: tuple[float, ...], at_ms: float) -> float:
    """How many of such runs are over by `at_ms`, which is before the last instant."""
    if at_ms <= instants[0]:
        return 0.0
    index = next(index for index, instant in enumerate(instants) if at_ms < instant)
    low_ms, high_ms = instants[index - 1], instants[index]
    return SHARES[index - 1] + (SHARES[index] - SHARES[index - 1]) * (at_ms - low_ms) / (high_ms - low_ms)


def _instant(instants: tuple[float, ...], share: float) -> float:
    """The opposite of `_share`; the last instant for all shares beyond it."""
    if share >= SHARES[-1]:
        return instants[-1]
    index = next(index for index, each in enumerate(SHARES) if share < each)
    low, high = SHARES[index - 1], SHARES[index]
    return instants[index - 1] + (instants[index] - instants[index - 1]) * (share - low) / (high - low)
