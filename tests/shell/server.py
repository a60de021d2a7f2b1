"""The store: a shard in memory that may refuse, go back in time, or lose everything.

Law: one request after another, each whole or not at all; whoever watches is told after every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any

from nexus_sched.adapters.memory import MemoryShard
from nexus_sched.adapters.memory.stream import EntryStream
from nexus_sched.errors import (
    NexusError,
    StoreError,
    StoreLoading,
    StoreNotPersisting,
    StoreOutOfMemory,
    StoreReadOnly,
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
    ]
)
REFUSED_WITHOUT_MEMORY = frozenset(("submit", "command", "redrive"))
LOADING, READ_ONLY, NOT_PERSISTING, OUT_OF_MEMORY = "loading", "read-only", "not-persisting", "out-of-memory"
REFUSALS = (LOADING, READ_ONLY, NOT_PERSISTING, OUT_OF_MEMORY)

Watcher = Callable[[str, str, tuple[Any, ...], object], None]  # (party, operation, arguments, answer)


class Server:
    """One shard, and what is done to it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.wall_jump_ms = 0
        self.shard = MemoryShard(self._clock_ms)
        self.refusal = ""
        self.age = 0  # how often another server has taken its place
        self.watchers: list[Watcher] = []

    def _clock_ms(self) -> int:
        return EPOCH_NS // 10**6 + round(self._world.now_s * 1e3) + self.wall_jump_ms

    def apply(self, party: str, operation: str, method: Callable[..., Any], args: tuple[Any, ...]) -> object:
        """Do what is asked for; gives the answer, or the error as a value."""
        error = self._refused(operation)
        answer: object = error
        if error is None:
            try:
                answer = finish(method(*args))
            except NexusError as refused:
                answer = refused
        for watcher in self.watchers:
            watcher(party, operation, args, answer)
        return answer

    def _refused(self, operation: str) -> StoreError | None:
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

    def keep(self) -> dict[str, Any]:
        """The state of now, to go back to."""
        shard = self.shard
        kept = {name: copy(value) for name, value in vars(shard).items() if name not in ("bus", "clock_ms")}
        kept["tasks"] = {name: copy(task) for name, task in shard.tasks.items()}
        kept["workers"] = {name: copy(worker) for name, worker in shard.workers.items()}
        kept["answers"] = {name: list(blobs) for name, blobs in shard.answers.items()}
        for name, stream in shard.streams.items():
            kept["streams"][name] = _copied(stream)
        return kept

    def go_back(self, kept: dict[str, Any]) -> None:
        """The state is what it was; who waits for something goes on waiting. Use each copy once."""
        vars(self.shard).update(kept)
        self.age += 1

    def flush(self) -> None:
        """`FLUSHALL`: as if nothing had ever been there."""
        self.go_back(Server(self._world).keep())


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
