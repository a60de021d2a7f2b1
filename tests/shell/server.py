"""The store: a pool in memory that may refuse, go back in time, or lose everything.

Law: one request after another, each whole or not at all; whoever watches is told after every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, NamedTuple

from nexus_sched.adapters.memory import MemoryPool, MemoryShard
from nexus_sched.adapters.memory.stream import EntryStream
from nexus_sched.errors import (
    NexusError,
    StoreError,
    StoreLoading,
    StoreNotPersisting,
    StoreNotReplicated,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreUnreachable,
)
from tests.shell.party import EPOCH_NS
from tests.shell.world import World

READS = frozenset(
    [
        "open",
        "sequence",
        "heartbeats",
        "journal",
        "snapshots",
        "newest_snapshot",
        "read",
        "read_inbox",
        "record",
        "result",
        "eta",
        "frame",
        "payload",
        "dead_letters",
        "operations",
        "shards",
        "placed",
        "placements",
        "announcements",
    ]
)
REFUSED_WITHOUT_MEMORY = frozenset(("submit", "command", "redrive", "announce"))
OF_THE_REGISTRY = frozenset(("announce", "announcements", "withdraw"))
LOADING, READ_ONLY, NOT_PERSISTING, OUT_OF_MEMORY = "loading", "read-only", "not-persisting", "out-of-memory"
REFUSALS = (LOADING, READ_ONLY, NOT_PERSISTING, OUT_OF_MEMORY)

# (party, the number of the shard, `None` for what belongs to the pool as a whole, operation, arguments, answer)
Watcher = Callable[[str, int | None, str, tuple[Any, ...], object], None]


class Kept(NamedTuple):
    """A state to go back to: what each shard is made of, what is known of the pool, what replicas had announced."""

    shards: list[dict[str, Any]]
    pool: dict[str, Any]
    said: dict[str, bytes]


class Server:
    """The shards of one pool, what is known of it, the registry of replicas, and what is done to all that."""

    def __init__(self, world: World, shards: int = 1) -> None:
        self._world = world
        self.wall_jump_ms = 0
        self.pool = MemoryPool(self._clock_ms)
        self.said: dict[str, bytes] = {}  # what replicas announce
        self.shards = [self.pool.shard(number) for number in range(shards)]
        self.refusal = ""
        self.registry_refuses = False
        self.unreplicated = False  # no replica is there: what has to be on one is done, and not acknowledged
        self.age = 0  # how often another server has taken its place
        self.watchers: list[Watcher] = []

    def _clock_ms(self) -> int:
        return EPOCH_NS // 10**6 + round(self._world.now_s * 1e3) + self.wall_jump_ms

    @property
    def is_led(self) -> bool:
        """Whether every shard has a journal."""
        return all(shard.seq for shard in self.shards)

    def apply(self, party: str, operation: str, method: Callable[..., Any], args: tuple[Any, ...]) -> object:
        """Do what is asked for; gives the answer, or the error as a value."""
        shard: MemoryShard | None = getattr(getattr(method, "__self__", None), "shard", None)
        number = None if shard is None else next(n for n, each in enumerate(self.shards) if each is shard)
        error = self._refused(operation)
        answer: object = error
        if error is None:
            try:
                answer = finish(method(*args))
            except NexusError as refused:
                answer = refused
        for watcher in self.watchers:
            watcher(party, number, operation, args, answer)
        if self.unreplicated and not isinstance(answer, NexusError) and _is_promised(operation, args):
            return StoreNotReplicated("no replica has it")
        return answer

    def _refused(self, operation: str) -> StoreError | None:
        if self.registry_refuses and operation in OF_THE_REGISTRY:
            return StoreUnreachable("the registry does not answer")
        match self.refusal:
            case "loading":
                return StoreLoading("LOADING the dataset is read from disk")
            case "read-only" if operation not in READS:
                return StoreReadOnly("READONLY a replica takes no writes")
            case "not-persisting" if operation not in READS:
                return StoreNotPersisting("MISCONF nothing can be written to disk")
            case "out-of-memory" if operation in REFUSED_WITHOUT_MEMORY:
                return StoreOutOfMemory("OOM more memory would be needed than is allowed")
        return None

    # -- going back

    def keep(self) -> Kept:
        """The state of now, to go back to."""
        pool = self.pool
        known = {"count": pool.count, "early": pool.early, "workers": dict(pool.workers)}
        return Kept([_kept(shard) for shard in self.shards], known, dict(self.said))

    def go_back(self, kept: Kept) -> None:
        """The state is what it was; who waits for something goes on waiting. Use each copy once."""
        for shard, was in zip(self.shards, kept.shards, strict=True):
            vars(shard).update(was)
        vars(self.pool).update(kept.pool)
        self.said.clear()
        self.said.update(kept.said)
        self.age += 1

    def flush(self) -> None:
        """`FLUSHALL`: as if nothing had ever been there."""
        self.go_back(Server(self._world, len(self.shards)).keep())


def _kept(shard: MemoryShard) -> dict[str, Any]:
    kept = {name: copy(value) for name, value in vars(shard).items() if name not in ("bus", "clock_ms")}
    kept["tasks"] = {name: copy(task) for name, task in shard.tasks.items()}
    kept["workers"] = {name: copy(worker) for name, worker in shard.workers.items()}
    kept["answers"] = {name: list(blobs) for name, blobs in shard.answers.items()}
    for name, stream in shard.streams.items():
        kept["streams"][name] = _copied(stream)
    return kept


def _is_promised(operation: str, args: tuple[Any, ...]) -> bool:
    """Whether a replica has to have it at level `replicated`; of a worker's steps, those with results."""
    return operation in ("acquire", "commit", "submit") or (operation == "step" and bool(args[3]))


def _copied(stream: EntryStream) -> EntryStream:
    other = copy(stream)
    other._ids, other._entries = list(stream._ids), dict(stream._entries)
    return other


def finish(answer: Any) -> object:
    """What a method of an adapter in memory gives; none of those that get here waits for anything but a turn."""
    if not isinstance(answer, Coroutine):
        return answer
    while True:
        try:
            waits_for = answer.send(None)
        except StopIteration as done:
            return done.value
        assert waits_for is None, "a request that waits cannot be one step of the store"
