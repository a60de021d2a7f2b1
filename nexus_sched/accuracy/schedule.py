"""Who is predicted and who is learned, in which order: the rules of an honest score.

Laws of this file: every task is predicted once, before its result is learned, which also happens once; with delayed
feedback a result is learned before a prediction only if the run had ended by then; results are learned in the order
of their ends. The order depends on the trace alone, so all predictors see the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Literal, NamedTuple

Feedback = Literal["delayed", "immediate"]


class Turn(NamedTuple):
    """Learn these, then predict the tasks from `first` up to but without `last`."""

    learned: list[int]
    first: int
    last: int


def turns(moments_s: Sequence[float | None], ends_s: Sequence[float | None], feedback: Feedback) -> list[Turn]:
    """The order of things for tasks in the order of their prediction.

    Parameters
    ----------
    moments_s
        When each is predicted; ascending where known.
    ends_s
        When each result is known. A task without moment or end is learned as soon as it was predicted.
    feedback
        `immediate` learns all of them as soon as they were predicted, which flatters.

    """
    found: list[Turn] = []
    running: list[tuple[float, int]] = []
    due: list[int] = []  # to learn before the next prediction
    learned: list[int] = []  # of the turn that is being put together
    first = 0
    for index, (moment_s, end_s) in enumerate(zip(moments_s, ends_s, strict=True)):
        while moment_s is not None and running and running[0][0] <= moment_s:
            due.append(heappop(running)[1])
        if due:
            found.append(Turn(learned, first, index))
            learned, first, due = due, index, []
        if feedback == "immediate" or moment_s is None or end_s is None:
            due.append(index)
        else:
            heappush(running, (end_s, index))
    found.append(Turn(learned, first, len(moments_s)))
    rest = [index for _, index in sorted(running)]
    found.append(Turn(due + rest, len(moments_s), len(moments_s)))
    return found
