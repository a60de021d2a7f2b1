"""When tasks arrive: Poisson streams whose rate is steady or goes up and down, and recorded ones brought to a rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STEADY = (1.0,)


def random_stream(seed: int, part: str) -> np.random.Generator:
    """The random numbers of one part of a workload; those of another part do not depend on how many are drawn."""
    return np.random.default_rng([seed, *part.encode()])


def poisson_ms(
    count: int, rate_per_ms: float, random: np.random.Generator, levels: Sequence[float] = STEADY
) -> NDArray[np.float64]:
    """`count` arrivals; the rate goes through `levels` (times `rate_per_ms`), each for an equal part of the time.

    A Poisson stream of known count is that many independent draws from its rate, so the mean rate is met exactly. The
    levels' mean must be 1.
    """
    turn_ms = count / len(levels) / rate_per_ms
    ends_ms = turn_ms * np.arange(len(levels) + 1)
    passed = np.concatenate([[0.0], np.cumsum(np.array(levels) / len(levels))])
    found: NDArray[np.float64] = np.interp(np.sort(random.random(count)), passed, ends_ms)
    return found


def stretched_ms(times_s: NDArray[np.float64], rate_per_ms: float) -> NDArray[np.float64] | None:
    """Recorded times from 0 on, stretched or shrunk to a mean rate; `None` if all are at one instant."""
    span_s = float(times_s[-1] - times_s[0])
    if span_s <= 0.0:
        return None
    stretched: NDArray[np.float64] = (times_s - times_s[0]) * (len(times_s) / rate_per_ms / span_s)
    return stretched
