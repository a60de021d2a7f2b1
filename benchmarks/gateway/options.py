"""How long and how much, in the full form and in the short one that belongs to the tests."""

from __future__ import annotations

from msgspec import Struct


class Options(Struct, frozen=True, kw_only=True):
    """Sizes of all parts; these are the full form."""

    seconds: float = 10.0  # of each paced load
    submissions: int = 20_000  # as fast as they go
    batches: int = 400
    limited_s: float = 20.5  # no whole number of windows
    connections: int = 10_000  # idle ones, and as many slow ones
    bombs: int = 5  # of each kind
    kills: int = 5
    orders: int = 2_000  # between two kills
    scrape_rounds: int = 4
    scrape_phase_s: float = 10.0


SHORT = Options(
    seconds=1.0,
    submissions=1_500,
    batches=20,
    limited_s=3.5,
    connections=500,
    bombs=1,
    kills=1,
    orders=400,
    scrape_rounds=1,
    scrape_phase_s=1.0,
)
