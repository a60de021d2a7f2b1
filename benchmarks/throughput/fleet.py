"""The workers' process: one real worker runtime, and many simulated ones that speak the same protocol.

Every worker has an inbox connection of its own, reads it blocking, and beats once a second. The steps of the
simulated ones share a few connections, as those of many processes on one host would share its network card.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from functools import partial
from itertools import cycle
from pathlib import Path

import msgspec

from benchmarks.throughput.options import TASK_TYPE
from benchmarks.throughput.simulated import STAMP, SimulatedWorker
from benchmarks.throughput.tally import Tally
from nexus_sched.adapters.redis import RedisWorkerStore
from nexus_sched.adapters.redis.address import Address, parse_address
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import Connection, dial
from nexus_sched.model.worker import WorkerOffer
from nexus_sched.worker.app import App
from nexus_sched.worker.log import Log
from nexus_sched.worker.service import Worker
from nexus_sched.worker.settings import WorkerSettings

STEP_CONNECTIONS = 4
HEARTBEAT_S = 1.0
TICK_S = 0.02
DIAL_AT_ONCE = 50


class StepPipe:
    """One pipelined connection for the steps of many workers; replies come in the order of the calls."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._waiting: deque[SimulatedWorker] = deque()
        self._connection: Connection | None = None

    async def open(self, address: Address) -> None:
        """Connect."""
        self._connection = await dial(address, self._on_reply)
        self._connection.closed.add_done_callback(lambda _: self._tally.add_fault("a step connection was lost"))

    def send(self, worker: SimulatedWorker, packed: bytes) -> None:
        """Send one step of `worker`."""
        assert self._connection is not None
        self._waiting.append(worker)
        self._connection.write(packed)

    def _on_reply(self, reply: Reply) -> None:
        self._waiting.popleft().stepped(reply, time.monotonic_ns())


async def run_fleet(url: str, tally: Tally, workers: int, slots: int) -> None:
    """Register `workers` workers and serve until cancelled."""
    address = parse_address(url)
    store = RedisWorkerStore(url)
    await store.open()
    offer = msgspec.msgpack.encode(WorkerOffer(slots=slots, worker_class="simulated"))
    names = [f"sim-{number}" for number in range(workers - 1)]
    incarnations = await asyncio.gather(*(store.register(name, offer) for name in names))
    pipes = [StepPipe(tally) for _ in range(STEP_CONNECTIONS)]
    for pipe in pipes:
        await pipe.open(address)
    fleet = [
        SimulatedWorker(name, incarnation, slots, store.keys, tally, pipe.send)
        for name, incarnation, pipe in zip(names, incarnations, cycle(pipes), strict=False)
    ]
    for first in range(0, len(fleet), DIAL_AT_ONCE):
        await asyncio.gather(*(_attach(worker, address, tally) for worker in fleet[first : first + DIAL_AT_ONCE]))
    real = real_worker(url, slots, tally)
    running = asyncio.ensure_future(real.run())
    await real.ready.wait()
    gc.collect()
    gc.freeze()  # what was built until here stays; later collections need not look at it
    tally.set_ready()
    await asyncio.gather(running, beat(fleet))


async def _attach(worker: SimulatedWorker, address: Address, tally: Tally) -> None:
    connection = await dial(address, worker.on_inbox)
    connection.closed.add_done_callback(partial(_lost, tally))
    worker.attach(connection)


def _lost(tally: Tally, _: object) -> None:
    tally.add_fault("an inbox connection was lost")


def real_worker(url: str, slots: int, tally: Tally) -> Worker:
    """A worker as `nexus-sched worker` runs it, with one function that only notes when it starts."""
    app = App()

    @app.task(TASK_TYPE)
    async def noop(stamp: bytes) -> None:
        tally.add_start((time.monotonic_ns() - STAMP.unpack(stamp)[0]) / 1e6)
        tally.add_accepted(1)

    return Worker(app, RedisWorkerStore(url), WorkerSettings(worker_id="real", slots=slots), Log("warning", "real"))


async def beat(fleet: list[SimulatedWorker]) -> None:
    """Let every worker be heard once a second, spread over the second."""
    position = 0
    while True:
        await asyncio.sleep(TICK_S)
        share = -(-len(fleet) * TICK_S // HEARTBEAT_S)
        now_s = time.monotonic()
        for worker in (fleet[(position + step) % len(fleet)] for step in range(int(share))):
            if now_s - worker.stepped_at_s >= HEARTBEAT_S / 2:
                worker.step()
        position += int(share)


def main() -> None:
    """`python -m benchmarks.throughput.fleet URL TALLY WORKERS SLOTS`."""
    url, path, workers, slots = sys.argv[1:]
    asyncio.run(run_fleet(url, Tally(Path(path)), int(workers), int(slots)))


if __name__ == "__main__":
    main()
