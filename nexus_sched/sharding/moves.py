"""How a worker gets from its shard to one that has sent for it, as no worker is left there.

Laws of this file:
  1. A worker that is at work looks now and then where its place is said to be. Where it is not entered at all, it is
     entered where it is.
  2. It moves when it has nothing to do: with nothing to report or to start, and an inbox in which nothing lies, so that
     nothing runs. So nothing is run again because of it. One that always has something to do stays.
  3. Moving is leaving one shard and registering in another: what comes into the inbox in between is reclaimed.
"""

from __future__ import annotations

import asyncio
import contextlib

from nexus_sched.errors import Fenced, StoreError
from nexus_sched.runtime.pool_ports import Placement, PoolStore
from nexus_sched.runtime.ports import WorkerStore

LOOK_EVERY_S = 5.0
START = "0-0"


class Moves:
    """Which of the workers that one store has registered are wanted elsewhere.

    Parameters
    ----------
    pool
        Where places are known.
    placed
        Worker -> where it is; the store's own account, in which a worker that moves is entered anew.
    """

    def __init__(self, pool: PoolStore, placed: dict[str, Placement]) -> None:
        self.wanted: dict[str, int] = {}  # worker -> the shard that has sent for it
        self._pool = pool
        self._placed = placed
        self._heard: set[str] = set()  # workers that took a step since the last look
        self._watching: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """Look from now on, in the background: an account that does not answer must keep no worker from its work."""
        if self._watching is None:
            self._watching = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Look no more. Never raises."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None

    async def step(self, worker: str, incarnation: int, store: WorkerStore, *, idle: bool) -> None:
        """A worker is about to take a step in its shard, whose store this is; `idle`: with nothing to tell or to start.

        If it is wanted elsewhere and has nothing to do, it leaves: raises `Fenced`, so that it registers anew.
        """
        self._heard.add(worker)
        shard = self.wanted.get(worker)
        if shard is None or not idle or await store.read_inbox(worker, START, 1, 0):
            return
        await store.leave(worker, incarnation)
        self.wanted.pop(worker, None)
        self._placed[worker] = Placement(shard, self._placed[worker].slots)
        raise Fenced(f"worker {worker} moves to shard {shard}, which has no worker")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with contextlib.suppress(StoreError):
                await self._look()

    async def _look(self) -> None:
        heard, self._heard = self._heard, set()
        for worker in sorted(heard & self._placed.keys()):
            at = self._placed[worker]
            shard = await self._pool.placed(worker)
            if self._placed.get(worker) != at:
                continue  # it has registered anew meanwhile, or left
            if shard is None:
                await self._pool.place(worker, at.slots, [at.shard], at.shard)
            if shard in (None, at.shard):
                self.wanted.pop(worker, None)
            else:
                self.wanted[worker] = shard
