"""The pools behind one door, and which of them a call is for.

Laws
* A call names its pool in the metadata `nexus-pool`. One that names none is for the gateway's own pool, if it has one.
* Each pool has its own stores, packs and proofs: a worker of one pool proves nothing in another, and the silence of one
  pool's shards is nothing to the others. Rooms are shared: they bound what the process holds.
* A door serves as long as anything behind it answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import PoolUnknown, StoreError
from nexus_sched.gateway.grpc.inboxes import Inboxes
from nexus_sched.gateway.grpc.reports import Reports
from nexus_sched.gateway.grpc.work import Work
from nexus_sched.proto.service import POOL_METADATA
from nexus_sched.runtime.ports import ReporterStore, WorkerStore
from nexus_sched.units import MS_PER_S

LOOK_TIMEOUT_S = 2.0


class PoolStores(NamedTuple):
    """What one pool is reached by. None of them has to be open: they connect when they are first used."""

    workers: WorkerStore  # of the whole pool
    reporter: ReporterStore  # of the whole pool
    shard_of: Callable[[str], Awaitable[int]]  # where a worker is
    waiter: Callable[[int], WorkerStore]  # a store of a shard, for one read that blocks


class PoolDoor:
    """One pool behind the door: reports and work of its workers."""

    def __init__(self, stores: PoolStores, section: GrpcSection) -> None:
        self.store = stores.workers
        self.reports = Reports(stores.reporter, section.pack_interval_ms / MS_PER_S, time.monotonic)
        self._reporter = stores.reporter
        self._inboxes = Inboxes(stores.workers, stores.shard_of, stores.waiter)
        self.work = Work(stores.workers, self._inboxes)
        self.problem = "it has not started yet"

    async def look(self) -> None:
        """See whether the store answers; `problem` tells."""
        try:
            await asyncio.wait_for(self._reporter.report([], b""), LOOK_TIMEOUT_S)
        except StoreError as error:
            self.problem = str(error)
        except TimeoutError:
            self.problem = f"the store has not answered within {LOOK_TIMEOUT_S:g} s"
        else:
            self.problem = ""

    async def close(self) -> None:
        """Let go of all connections."""
        await self._inboxes.close()
        await self._reporter.close()
        await self.store.close()


class Pools:
    """The doors by the names of their pools. `own` is the pool of calls that name none, `None` if they have to."""

    def __init__(self, doors: Mapping[str, PoolDoor], own: str | None) -> None:
        self.doors = doors
        self._own = own

    def of_call(self, context: Any) -> PoolDoor:
        """The pool that a call is for. Raises `PoolUnknown`."""
        name = dict(context.invocation_metadata() or ()).get(POOL_METADATA, self._own)
        if name is None:
            raise PoolUnknown(f"several pools are served here, name one of them in {POOL_METADATA}: {self._names()}")
        door = self.doors.get(name)
        if door is None:
            raise PoolUnknown(f"pool {str(name)[:128]!r} is not served here: {self._names()}")
        return door

    async def look(self) -> None:
        """See which stores answer."""
        await asyncio.gather(*(door.look() for door in self.doors.values()))

    def problem(self) -> str:
        """What is wrong if nothing behind the door answers; empty if anything does."""
        problems = [door.problem for door in self.doors.values()]
        return "; ".join(dict.fromkeys(problems)) if all(problems) else ""

    def _names(self) -> str:
        return ", ".join(sorted(self.doors))
