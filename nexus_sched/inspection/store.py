"""What an inspection needs of a store, as protocols: to look needs less than to repair.

`adapters.memory.inspector` can be looked at, `adapters.redis.inspector` can be repaired as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nexus_sched.model.inspection import Pointer, ShardMeta, StoredTask


class InspectorStore(Protocol):
    """One shard, read in pages. Every method may raise the `StoreError` family."""

    async def meta(self) -> ShardMeta | None:
        """What the shard says of itself, `None` if it has no state at all."""

    async def names(self, cursor: str, kind: str, count: int) -> tuple[str, list[str]]:
        """One page of the keys of a kind (`t`, `p`, `r`, `i`, `w`, `snap`): the next cursor ("0" at the end), names.

        A name may come twice; one that was there all the time comes at least once.
        """

    async def pointers(self, place: str, after: str, count: int) -> tuple[str, list[Pointer]]:
        """Tasks in a queue or inbox behind an entry: where to go on (empty at the end), and the page."""

    async def tasks(self, task_ids: Sequence[str]) -> list[StoredTask | None]:
        """The records of tasks, `None` for what is not there."""

    async def workers_known(self, workers: Sequence[str]) -> list[bool]:
        """Whether a worker of each name ever registered."""

    async def values(self, stream: str, field: str, after: str, count: int) -> tuple[str, list[bytes]]:
        """One field of the entries of a stream: where to go on (empty at the end), and the values of the page."""


class RepairStore(InspectorStore, Protocol):
    """A shard that can be repaired."""

    async def command(self, blob: bytes) -> None:
        """Append an encoded command for the leader."""

    async def mend(self, repair: str, *arguments: str) -> int:
        """One repair, which checks again what it mends: 0 if there was nothing to mend (any more)."""
