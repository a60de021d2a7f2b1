"""What is known of a pool as a whole, and of the processes that share its shards, as protocols.

Nothing here decides who leads: that is the lease of a shard (`ports.LeaderStore`). The number of shards is settled once
and never changes; where workers are is accounting, for even numbers; the registry of replicas is a preference. Every
method may raise the `StoreError` family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct


class PoolShards(Struct, frozen=True):
    """Into how many shards a pool is split; 0: nobody has settled it yet.

    `early`: somebody may have submitted before it was settled. All of that is in shard 0, whatever its ids say.
    """

    count: int
    early: bool


class Placement(NamedTuple):
    """Where a worker has its place, and how many slots count there for it."""

    shard: int
    slots: int


class PoolStore(Protocol):
    """What is known of one pool. Kept apart from its shards, so that no shard's server has to know all of it."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close all connections, until `open`. Never raises."""

    async def shards(self) -> PoolShards:
        """What is settled, without leaving a trace."""

    async def settle(self, wanted: int | None) -> PoolShards:
        """Settle the number of shards as `wanted`, unless it is settled already; gives what holds.

        `None`: the caller does not know it, and is about to submit to shard 0; that is noted in the same step.
        """

    async def place(self, worker: str, slots: int, order: Sequence[int], held: int | None = None) -> int:
        """Give a worker a place; gives its shard.

        Where it has a place already, else where slots are fewest, the first of `order` among equals. `held`: it is
        there, whatever is known of it.
        """

    async def placed(self, worker: str) -> int | None:
        """The shard of a worker, `None` if it is not known."""

    async def placements(self) -> dict[str, Placement]:
        """All workers and their places."""

    async def displace(self, placements: Mapping[str, Placement]) -> int:
        """Forget these workers, each only if it still is where it was seen; gives how many."""


class RegistryStore(Protocol):
    """The replicas that serve pools on one server, and what each says of itself."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close all connections. Never raises."""

    async def announce(self, replica: str, blob: bytes) -> dict[str, bytes]:
        """Say something of oneself; gives what all say, oneself included. Only a change of it is a sign of life."""

    async def announcements(self) -> dict[str, bytes]:
        """What all say, for whoever only looks."""

    async def withdraw(self, replicas: Iterable[str]) -> None:
        """Forget these replicas. One that lives says it all again with its next announcement."""
