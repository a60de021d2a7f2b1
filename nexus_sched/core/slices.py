"""Long work in parts: a generator that yields after each, so that whoever drives it may do something else between.

Laws of this file:
  1. A part is bounded by a count, never by a clock: the core has none, and every run of it is cut in the same places.
  2. What comes out does not depend on what is done between two parts, as nobody else knows of what is being made.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import TypeVar

PART_RECORDS = 1_000  # tasks: about 2 ms for what costs most of each

Item = TypeVar("Item")
Made = TypeVar("Made")


def parts(items: Iterable[Item], size: int = PART_RECORDS) -> Iterator[list[Item]]:
    """`items` in their order, at most `size` at a time."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def at_once(steps: Generator[None, None, Made]) -> Made:
    """What such work comes to, without a break."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Made = end.value
            return made
