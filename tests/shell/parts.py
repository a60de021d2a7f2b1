"""What the processes run: the product's own schedulers, workers and clients, put together as its command line does.

In a story about sharing they are those of a whole pool: replicas that share its shards, workers that find a place in
one of them, and clients that send every task to the shard of its id.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexus_sched.adapters.memory import (
    MemoryLeaderStore,
    MemoryPoolStore,
    MemoryRegistryStore,
    MemorySubmitterStore,
    MemoryWorkerStore,
)
from nexus_sched.client.asynchronous import AsyncClient
from nexus_sched.errors import StoreError
from nexus_sched.model.replica import ShardId
from nexus_sched.model.settings import EngineSettings
from nexus_sched.runtime.ports import SubmitterStore, WorkerStore
from nexus_sched.runtime.replica import Replica, Seat
from nexus_sched.runtime.service import Follower, Service, ServiceSettings
from nexus_sched.runtime.settling import settle_shards, tidy_places
from nexus_sched.sharding.submitter import PoolSubmitterStore
from nexus_sched.sharding.worker import PoolWorkerStore
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.worker.load import Load
from nexus_sched.worker.log import Log
from nexus_sched.worker.service import Worker
from nexus_sched.worker.settings import WorkerSettings
from tests.shell.programs import Passing, application, serve_client
from tests.shell.stores import (
    LinkedLeaderStore,
    LinkedPoolStore,
    LinkedRegistryStore,
    LinkedSubmitterStore,
    LinkedWorkerStore,
)

if TYPE_CHECKING:
    from tests.shell.cast import Process, Stage

POOL = "simulated"
REST_S = 0.3  # before a process that ended is started again
PATIENCE_S = 5.0
DRAIN_TIMEOUT_S = 3.0


async def schedule(stage: Stage, process: Process) -> None:
    """A scheduler of one shard, or a replica among those of all shards."""
    if stage.plan.sharing is not None:
        await _share(stage, process)
        return
    store = LinkedLeaderStore(process.link, MemoryLeaderStore(stage.server.shards[0]))
    service = _service(stage, process, store, 0)
    process.leave = service.stop
    await service.run()


async def _share(stage: Stage, process: Process) -> None:
    serves = {POOL: await _settled(stage, process)}
    if not serves[POOL]:
        return

    def seat(shard: ShardId, settings: EngineSettings) -> Seat:
        store, pool = leader_store(stage, process, shard.number), pool_store(stage, process)
        several = serves[shard.pool] > 1
        tidy: list[Follower] = [lambda _: tidy_places(pool, store, shard, serves[POOL])] if several else []
        return Seat(_service(stage, process, store, shard.number, tidy), [store, pool])

    registry = LinkedRegistryStore(process.link, MemoryRegistryStore(stage.server.said))
    replica = Replica(registry, process.title, serves, seat, stage.plan.settings, process.loop, stage.proof)
    process.leave, process.replica = replica.stop, replica
    await replica.run()


async def _settled(stage: Stage, process: Process) -> int:
    """The number of shards, 0 if it is time to end; a process that ends as the store does not answer begins anew."""
    assert stage.plan.sharing is not None
    leaving = asyncio.Event()
    process.leave = leaving.set
    while not leaving.is_set():
        try:
            pool, first = pool_store(stage, process), leader_store(stage, process, 0)
            count = await settle_shards(pool, first, POOL, stage.plan.sharing.shards)
        except StoreError:
            await asyncio.sleep(REST_S)
        else:
            return 0 if leaving.is_set() else count
    return 0


def leader_store(stage: Stage, process: Process, number: int) -> LinkedLeaderStore:
    """A leader's store of one shard of several."""
    return LinkedLeaderStore(process.link, MemoryLeaderStore(stage.server.shards[number]), 1 + number)


def pool_store(stage: Stage, process: Process) -> LinkedPoolStore:
    """The store of what is known of the pool."""
    return LinkedPoolStore(process.link, MemoryPoolStore(stage.server.pool))


def _service(
    stage: Stage, process: Process, store: LinkedLeaderStore, number: int, followers: list[Follower] | None = None
) -> Service:
    rhythm = stage.plan.rhythm
    settings = ServiceSettings(
        pool=POOL,
        shard=number,
        owner=process.title,
        lease_ms=rhythm.lease_ms,
        suspect_ms=rhythm.suspect_ms,
        dead_ms=rhythm.dead_ms,
    )
    return Service(
        store, settings, stage.plan.settings, PREDICTORS, followers or (), clock=process.loop, is_dead=stage.proof
    )


async def work(stage: Stage, process: Process) -> None:
    """A worker."""
    plan, rhythm = stage.plan, stage.plan.rhythm
    settings = WorkerSettings(
        worker_id=process.name,
        slots=plan.slots[int(process.name.partition(".")[0][1:])],
        heartbeat_s=rhythm.heartbeat_s,
        reconcile_s=rhythm.reconcile_s,
        report_s=rhythm.reconcile_s,
        drain_timeout_s=DRAIN_TIMEOUT_S,
    )
    worker = Worker(
        application(),
        _worker_store(stage, process),
        settings,
        Log("error", process.name),
        clock_s=process.loop.time,
        executors=Passing(stage, process).made,
        look=Load,
    )
    process.leave = worker.drain
    await worker.run()


def _worker_store(stage: Stage, process: Process) -> WorkerStore:
    sharing, shards = stage.plan.sharing, stage.server.shards
    if sharing is None:
        return LinkedWorkerStore(process.link, MemoryWorkerStore(shards[0]))

    async def was_led() -> bool:
        return await leader_store(stage, process, 0).sequence() is not None

    def of_shard(number: int) -> WorkerStore:
        return LinkedWorkerStore(process.link, MemoryWorkerStore(shards[number]), 1 + number)

    wanted = sharing.shards if sharing.workers_know else None
    return PoolWorkerStore(pool_store(stage, process), of_shard, was_led, wanted=wanted)


async def submit(stage: Stage, process: Process) -> None:
    """A client, with its part of the tasks; in a story about sharing also with some that others submit as well."""
    plan, mine = stage.plan, int(process.name[1:])
    client = AsyncClient(pool=POOL, store=_submitter_store(stage, process), patience_s=PATIENCE_S)
    own = [task for number, task in enumerate(plan.tasks) if number % plan.clients == mine]
    others = [task for task in plan.tasks if task not in own and task.again_at_s is not None]
    await serve_client(stage, process, client, own, others)


def _submitter_store(stage: Stage, process: Process) -> SubmitterStore:
    plan, shards = stage.plan, stage.server.shards
    if plan.sharing is None:
        far = MemorySubmitterStore(shards[0], length_max=plan.length_max)
        return LinkedSubmitterStore(process.link, far)

    def of_shard(number: int, count: int) -> SubmitterStore:
        far = MemorySubmitterStore(shards[number], length_max=-(-plan.length_max // count))
        return LinkedSubmitterStore(process.link, far, 1 + number)

    wanted = plan.sharing.shards if plan.sharing.clients_know else None
    return PoolSubmitterStore(pool_store(stage, process), of_shard, wanted)
