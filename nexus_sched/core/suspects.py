"""Which task killed its workers: whatever was on a worker that died is suspected, and suspects are kept apart.

Laws
* A first death makes a suspect of everything that the worker ran, and counts once against each.
* A suspect goes where no other suspect is, if such a worker is open to it. It never waits for that.
* A further death counts only against a suspect that no other suspect was with: then it points at one. So whoever merely
  ran beside a killer, even on each worker that it killed, is not buried with it.
* Where many workers die, what they ran is less likely to be the cause: twice as many deaths are asked for.

Who is suspected is with the records (`History.deaths`, `Booking.together`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from nexus_sched.core.records import TaskRecord

AVOIDED_MAX = 7  # workers: the kernel takes 16 terms of single rows, of which 8 are affinity's and one a retry's
MANY_DIE_FACTOR = 2


class Suspects:
    """Where the suspects are: worker -> ids of those that it holds."""

    def __init__(self) -> None:
        self._there: dict[str, dict[str, None]] = {}

    def avoided_by(self, record: TaskRecord) -> tuple[str, ...]:
        """The workers that a waiting task had better not go to; none as a rule."""
        history = record.history
        if history is None:
            return ()
        avoid = (history.avoid,) if history.avoid else ()
        return (*avoid, *islice(self._there, AVOIDED_MAX)) if history.deaths and self._there else avoid

    def placed(self, record: TaskRecord, tasks: Mapping[str, TaskRecord]) -> None:
        """A task of `tasks` is with a worker, or has come to be suspected there."""
        if not record.past.deaths:
            return
        there = self._there.setdefault(record.worker, {})
        there[record.task.id] = None
        if len(there) > 1:
            for task_id in there:
                tasks[task_id].booked.together = True

    def left(self, record: TaskRecord) -> None:
        """A task is no longer with its worker."""
        there = self._there.get(record.worker)
        if there is not None:
            there.pop(record.task.id, None)
            if not there:
                del self._there[record.worker]

    def snapshot(self) -> list[tuple[str, list[str]]]:
        """Each worker that holds suspects, in the order in which it came to, with their ids."""
        return [(worker, list(there)) for worker, there in self._there.items()]

    def restore(self, state: Iterable[tuple[str, list[str]]]) -> None:
        """The opposite of `snapshot`."""
        self._there = {worker: dict.fromkeys(there) for worker, there in state}


def blame(record: TaskRecord) -> None:
    """A worker died that ran this task, whose booking is still there."""
    history = record.remembered()
    if not history.deaths or not record.booked.together:
        history.deaths += 1
