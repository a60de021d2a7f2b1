"""Proof that a task was given to the worker that says so.

Whoever can reach the store itself is trusted to start and complete only what its inbox holds. A worker behind the
gateway is not: else it could read any payload, or end any task, whose id it guesses.

Law: an attempt that has stood in a worker's inbox was given to it, for good, as no two dispatches of a task have the
same number. So what was seen there once need not be looked up again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nexus_sched.runtime.ports import InboxItem, WorkerStore

WORKERS_MAX = 10_000
TASKS_MAX = 8_192  # of one worker
_PART_MAX = 2**64 - 1


class Given(NamedTuple):
    """A task in an inbox."""

    entry: str
    task_id: str
    attempt: int


class Proofs:
    """What this gateway has seen in inboxes, bounded; what it has not, it looks up."""

    def __init__(self, store: WorkerStore) -> None:
        self._store = store
        self._seen: OrderedDict[str, OrderedDict[tuple[str, int], None]] = OrderedDict()  # worker -> (task, attempt)

    def saw(self, worker: str, items: Iterable[InboxItem]) -> None:
        """These entries are in the worker's inbox."""
        given = self._given(worker)
        for item in items:
            given[(item.task_id, item.attempt)] = None
        while len(given) > TASKS_MAX:
            given.popitem(last=False)

    async def hold(self, worker: str, lines: Sequence[Given]) -> list[bool]:
        """Whether each of them was given to the worker. Raises a `StoreError`."""
        return [await self._holds(worker, line) for line in lines]

    async def _holds(self, worker: str, line: Given) -> bool:
        given, key = self._given(worker), (line.task_id, line.attempt)
        if key not in given and is_entry(line.entry):
            self.saw(worker, await self._store.read_inbox(worker, before(line.entry), 1, 0))
        return key in given

    def _given(self, worker: str) -> OrderedDict[tuple[str, int], None]:
        given = self._seen.setdefault(worker, OrderedDict())
        self._seen.move_to_end(worker)
        if len(self._seen) > WORKERS_MAX:
            self._seen.popitem(last=False)
        return given


def is_entry(text: str) -> bool:
    """Whether this may be the id of an entry."""
    high, _, low = text.partition("-")
    parts = (high, low)
    return all(part.isascii() and part.isdigit() and len(part) <= 20 and int(part) <= _PART_MAX for part in parts)


def before(entry: str) -> str:
    """The highest id below an entry's."""
    upper, lower = map(int, entry.split("-"))
    if lower:
        return f"{upper}-{lower - 1}"
    return f"{upper - 1}-{_PART_MAX}" if upper else "0-0"
