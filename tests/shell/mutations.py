"""Known mistakes, planted on purpose: a simulator that cannot find them proves nothing.

Each takes one safeguard out of the product, for as long as the context lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from nexus_sched.adapters.memory import MemoryPoolStore, MemoryShard
from nexus_sched.core import task_events
from nexus_sched.errors import Fenced
from nexus_sched.model.outcome import Receipt
from nexus_sched.runtime import settling
from nexus_sched.runtime.ownership import Ownership
from nexus_sched.runtime.pool_ports import Placement, PoolShards
from nexus_sched.runtime.ports import InboxItem, Lease
from nexus_sched.runtime.replica import Replica
from nexus_sched.runtime.service import Service
from nexus_sched.sharding import submitter
from nexus_sched.sharding.moves import Moves
from nexus_sched.sharding.submitter import PoolSubmitterStore
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


async def _lead_without_lease(self: Ownership) -> Lease:
    """Do as if the lease were one's own, whoever holds it."""
    shard: MemoryShard = vars(self._store)["_far"].shard
    self._trust(self._clock.monotonic_s())
    return Lease(shard.epoch, self._owner, shard.nonce, shard.seq or 0)


async def _recognise_nothing(self: PoolSubmitterStore, shards: Any, lines: Any) -> set[str]:
    """Do not look in shard 0 for what was submitted before the number of shards was known."""
    return set()


async def _settle_silently(self: MemoryPoolStore, wanted: int | None) -> PoolShards:
    """Leave no note that somebody submits while the number of shards is not known."""
    self.pool.count = self.pool.count or wanted or 0
    return PoolShards(self.pool.count, self.pool.early)


def _deal_out(name: str, count: int) -> int:
    """Send a task to one shard after the other, whatever its id says."""
    return next(_TURNS) % count


def _send_for_nobody(placements: Any) -> list[tuple[str, int]]:
    """Leave a shard that has no worker alone."""
    return []


async def _look_away(self: Moves) -> None:
    """Do not look where a worker's place is said to be."""


def _keep_everything(self: Replica) -> None:
    """Hand no shard over to a replica that has none."""


async def _move_at_once(self: Moves, worker: str, incarnation: int, store: Any, *, idle: bool) -> None:
    """Go to another shard with tasks running."""
    self._heard.add(worker)
    shard = self.wanted.pop(worker, None)
    if shard is not None:
        await store.leave(worker, incarnation)
        self._placed[worker] = Placement(shard, self._placed[worker].slots)
        raise Fenced("moves")


_TURNS = count()
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
    "replicas lead without a lease": (Ownership, "acquire", _lead_without_lease, "shards"),
    "early submissions are not recognised": (PoolSubmitterStore, "_early", _recognise_nothing, "shards"),
    "early submissions are not noted": (MemoryPoolStore, "settle", _settle_silently, "shards"),
    "tasks go to any shard": (submitter, "shard_of", _deal_out, "shards"),
    "shards are not handed over": (Replica, "_hand_one_over", _keep_everything, "shards"),
    "places are not entered again": (Moves, "_look", _look_away, "shards"),
    "shards without workers are left alone": (settling, "_from_the_fullest", _send_for_nobody, "shards-crash"),
    "workers move while they run something": (Moves, "step", _move_at_once, "shards"),
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
