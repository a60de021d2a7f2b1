"""Whether a worker's pace has changed, and what is kept of that; the sums themselves are csrc/nexus_pace.h.

Two cumulative sums over how far runs are from what was predicted for the worker, one for slower and one for faster: two
runs that take five times as long are enough to say so, a single wild one is not.
"""

from __future__ import annotations

from msgspec import Struct


class PaceDrift(Struct, array_like=True):
    """What a snapshot keeps of the two sums of one worker, and of the runs behind them."""

    slower: float = 0.0
    faster: float = 0.0
    runs: int = 0  # since both sums were 0
    run_ms: float = 0.0  # their measured time
    expected_ms: float = 0.0  # what their type takes on an average worker
    former: float = 1.0  # the worker's factor before them


class SlowedPace(Struct, array_like=True):
    """What is kept of a worker whose pace changed for the worse, see `core.forgiving`."""

    factor: float  # its slow pace
    former: float  # the one before
    every_ms: int  # between two steps back
    due_ms: int = 0  # the next one, 0 if it is all the way back
