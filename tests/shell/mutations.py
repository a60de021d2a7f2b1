"""Known mistakes, planted on purpose: a simulator that cannot find them proves nothing.

Each takes one safeguard out of the product, for as long as the context lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nexus_sched.adapters.memory.shard import MemoryShard
from nexus_sched.core import task_events
from nexus_sched.model.outcome import Receipt
from nexus_sched.runtime.ports import InboxItem, Lease
from nexus_sched.runtime.service import Service
from nexus_sched.worker.inbox import InboxReader
from nexus_sched.worker.ledger import Ledger


def _fence_nothing(self: MemoryShard, lease: Lease) -> int:
    """Whoever ever held a lease may write."""
    return self.seq or 0


def _drop_blindly(self: MemoryShard, worker: str, entry: str, task_id: str, attempt: int) -> bool:
    """Take an inbox entry away without a look at whose it is."""
    return self._remove(worker, entry)


def _vanish_silently(self: MemoryShard, worker: str, task_id: str, attempt: int) -> None:
    """Say nothing of a pointer that is taken away."""


def _forget_receipted(self: Ledger, lines: Any, receipts: Any, at_s: float) -> None:
    """Remember nothing of what a store has acknowledged that may go back in time."""
    for line in lines:
        del self.outbox[(line.task_id, line.attempt)]


async def _read_on(self: InboxReader) -> str:
    """Read the inbox from the start only once, and then only what is new."""
    if "place" not in vars(self):
        observe = self._observe

        def noting(items: list[InboxItem]) -> None:
            vars(self)["place"] = items[-1].entry
            observe(items)

        self._observe = noting
        vars(self)["place"] = await _SCAN(self)
    return str(vars(self)["place"])


def _accept_again(self: MemoryShard, worker: str, line: Any) -> Receipt:
    """Believe every completion, also a second one."""
    task = self.tasks.get(line.task_id)
    if task is not None and task.state == "F":
        return Receipt.LATE
    return _COMPLETE(self, worker, line)


def _repeat_anything(record: Any, worker_killer_deaths: int) -> None:
    """Let everything that came back run again."""


async def _lead_from_anywhere(self: Service, lease: Lease) -> None:
    """Do not look whether the store went back."""


def _keep_any_snapshot(self: MemoryShard, lease: Lease, seq: int, blob: bytes) -> None:
    """Keep a snapshot that no journal leads to."""
    self.fence(lease)
    self._keep(seq, blob)


def _start_without_pointer(self: MemoryShard, worker: str, entry: str, task_id: str, attempt: int) -> str:
    """Let a task start whose pointer is not there."""
    return "i"


_COMPLETE = MemoryShard._complete
_SCAN = InboxReader._scan

# name -> (what is replaced, where, by what), and the kind of runs that must find it
MUTATIONS: Mapping[str, tuple[Any, str, Callable[..., Any], str]] = {
    "leases are not fenced": (MemoryShard, "fence", _fence_nothing, "pause"),
    "entries are dropped blindly": (MemoryShard, "drop", _drop_blindly, "rollback"),
    "pointers vanish silently": (MemoryShard, "_vanish", _vanish_silently, "rollback"),
    "starts need no pointer": (MemoryShard, "_lies", _start_without_pointer, "rollback"),
    "snapshots run ahead": (MemoryShard, "save_snapshot", _keep_any_snapshot, "rollback"),
    "completions are accepted again": (MemoryShard, "_complete", _accept_again, "network"),
    "completions are not remembered": (Ledger, "receipted", _forget_receipted, "rollback"),
    "inboxes are not read again": (InboxReader, "_scan", _read_on, "rollback"),
    "anything is repeated": (task_events, "why_not_again", _repeat_anything, "crash"),
    "a lost state is not noticed": (Service, "_check_progress", _lead_from_anywhere, "flush"),
}


@contextmanager
def planted(name: str) -> Iterator[str]:
    """Plant a mistake; gives the kind of runs that must find it."""
    owner, attribute, mistake, kind = MUTATIONS[name]
    right = vars(owner)[attribute]
    setattr(owner, attribute, mistake)
    try:
        yield kind
    finally:
        setattr(owner, attribute, right)
