"""Which of two predictors is right more often, and whether that is more than luck.

Law: the same hits give the same verdict. The difference of two shares is judged on the same tasks, in blocks of
consecutive ones: neighbouring tasks are right or wrong together, and counting them singly (McNemar's test) makes
chance look like proof. The interval is a bootstrap over blocks (Politis, Romano: The Stationary Bootstrap, 1994)
with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

BLOCKS_MAX = 100
BLOCK_TASKS_MIN = 5
RESAMPLES = 4_000
SEED = 1
CONFIDENCE = 0.95


class Verdict(Struct, frozen=True):
    """Shares within 25 %, from 0 to 1. `winner` is empty if the interval holds zero."""

    candidate: str
    present: str
    tasks: int
    candidate_within_25: float
    present_within_25: float
    difference: float  # candidate less present
    low: float  # of the 95 % interval of the difference
    high: float
    only_candidate: int  # tasks that only this one had right
    only_present: int
    winner: str


def judge(candidate: str, present: str, candidate_hits: Sequence[bool], present_hits: Sequence[bool]) -> Verdict:
    """Compare two predictors by what they had right; the k-th entries belong to the same task."""
    ours, theirs = np.asarray(candidate_hits, dtype=bool), np.asarray(present_hits, dtype=bool)
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError("both need the same tasks, at least one")
    lead = ours.astype(float) - theirs.astype(float)
    low, high = _interval(lead)
    winner = candidate if low > 0.0 else present if high < 0.0 else ""
    return Verdict(
        candidate=candidate,
        present=present,
        tasks=len(lead),
        candidate_within_25=float(np.mean(ours)),
        present_within_25=float(np.mean(theirs)),
        difference=float(np.mean(lead)),
        low=low,
        high=high,
        only_candidate=int(np.sum(ours & ~theirs)),
        only_present=int(np.sum(theirs & ~ours)),
        winner=winner,
    )


def _interval(lead: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """Of the mean: blocks are drawn with replacement, again and again."""
    blocks = np.array_split(lead, max(1, min(BLOCKS_MAX, len(lead) // BLOCK_TASKS_MIN)))
    sums, sizes = np.array([block.sum() for block in blocks]), np.array([len(block) for block in blocks])
    drawn = np.random.default_rng(SEED).integers(0, len(blocks), (RESAMPLES, len(blocks)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return float(low), float(high)
