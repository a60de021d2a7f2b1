"""Who leads: taking a lease, keeping it, and knowing when it can no longer be trusted.

No wall clock decides anything. Somebody else's lease is free when it has not changed for a whole lease time
on *our* monotonic clock, or when its holder is proven to be dead; our own is trusted until the start of its last
successful renewal plus the lease time, less a margin. After a pause it is asked for before it is used again: if
nobody took it in between, nothing happened.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nexus_sched.errors import Fenced, StoreError
from nexus_sched.runtime.beats import Beats
from nexus_sched.runtime.clock import Clock
from nexus_sched.runtime.ports import LeaderStore, Lease, LeaseSeen

MARGIN_SHARE = 0.25  # of the lease time: what a pause between the check and the write may last
POLLS_PER_LEASE = 12
POLL_S_MAX = 0.1  # a lease that is given back, or whose holder is dead, should not wait longer

Answer = TypeVar("Answer")


class Ownership:
    """The lease of one shard, from this process's side. `lease_ms` must be the same for all replicas."""

    def __init__(
        self,
        store: LeaderStore,
        clock: Clock,
        owner: str,
        lease_ms: int,
        is_dead: Callable[[str], bool] = lambda _: False,
        beats: Beats | None = None,
    ) -> None:
        self._is_dead = is_dead
        self._beats = beats or Beats(lease_ms / 1_000)  # is told whether the store takes writes
        self._store = store
        self._clock = clock
        self._owner = owner
        self._lease_s = lease_ms / 1_000
        self._trusted_until_s = 0.0

    async def acquire(self) -> Lease:
        """Wait until the lease is ours. Raises `StoreError` if the store fails."""
        nonce = secrets.token_hex(8)
        seen: LeaseSeen | None = None
        seen_since_s = 0.0
        proven = False  # the holder of the lease that was seen is dead
        while True:
            asked_at_s = self._clock.monotonic_s()
            stale = seen if proven or asked_at_s - seen_since_s >= self._lease_s else None
            answer = await self._written(self._store.acquire(self._owner, nonce, stale))
            if isinstance(answer, Lease):
                self._trust(asked_at_s)
                return answer
            if answer != seen:
                seen, seen_since_s = answer, self._clock.monotonic_s()
            proven = not proven and self._is_dead(answer.owner)  # one attempt a look: a proof may be wrong
            if not proven:
                await asyncio.sleep(min(self._lease_s / POLLS_PER_LEASE, POLL_S_MAX))

    async def keep(self, lease: Lease) -> None:
        """Renew until cancelled. Raises `Fenced` when the lease is lost or can no longer be trusted."""
        while True:
            await asyncio.sleep(self._lease_s / 4)
            asked_at_s = self._clock.monotonic_s()
            try:
                await self._written(self._store.renew(lease))
            except Fenced:
                raise
            except StoreError as error:
                if not self._trusted:
                    raise Fenced("the lease could not be renewed in time") from error
                continue
            self._trust(asked_at_s)

    async def confirm(self, lease: Lease) -> None:
        """Returns once the lease may be used, at once as a rule. Raises `StoreError`, `Fenced` if it is lost."""
        while not self._trusted:
            asked_at_s = self._clock.monotonic_s()
            await self._written(self._store.renew(lease))
            self._trust(asked_at_s)

    async def _written(self, write: Awaitable[Answer]) -> Answer:
        try:
            answer = await write
        except Fenced:
            raise
        except StoreError:
            self._beats.refused()
            raise
        self._beats.taken()
        return answer

    @property
    def _trusted(self) -> bool:
        return self._clock.monotonic_s() < self._trusted_until_s

    def _trust(self, asked_at_s: float) -> None:
        self._trusted_until_s = asked_at_s + self._lease_s * (1 - MARGIN_SHARE)
