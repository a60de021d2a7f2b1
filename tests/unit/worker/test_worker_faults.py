"""A broken store may delay a task, but neither lose nor repeat it."""

from __future__ import annotations

import asyncio

import pytest

from nexus_sched.adapters.memory import MemoryShard
from nexus_sched.errors import Fenced, StateLost, StoreLoading, StoreUnreachable
from nexus_sched.testing.virtual_time import virtually
from nexus_sched.worker import App
from nexus_sched.worker.log import Log
from nexus_sched.worker.service import Worker
from nexus_sched.worker.settings import WorkerSettings
from tests.unit.worker.bench import WORKER, Desk, FaultyStore, Gate, eventually, serving

LOST = StoreUnreachable("reply lost")


async def test_lost_replies_neither_lose_nor_repeat_a_task(desk: Desk, store: FaultyStore):
    app, runs = App(), []

    @app.task
    async def note(number: int) -> int:
        runs.append(number)
        await asyncio.sleep(0.001)
        return number

    async with serving(app, store, slots=2):
        store.after_step = [LOST] * 6
        task_ids = [await desk.give("note", number) for number in range(12)]
        for number, task_id in enumerate(task_ids):
            await desk.ended(task_id)
            assert desk.value(task_id) == number
        await eventually(lambda: not store.after_step)
        await eventually(lambda: desk.inbox_length() == 0)
    assert sorted(runs) == list(range(12))
    assert all(len(desk.facts(task_id)) == 1 for task_id in task_ids)


async def test_completion_is_kept_through_an_outage(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store):
        task_id = await desk.give("hold")
        await eventually(lambda: gate.inside == 1)
        store.down = StoreLoading("LOADING")
        gate.open.set()
        await eventually(lambda: gate.inside == 0)
        await asyncio.sleep(0.3)
        assert desk.state(task_id) == "R"
        store.down = None
        assert (await desk.ended(task_id)).outcome == "succeeded"
    assert gate.runs == 1


async def test_outage_is_no_hot_loop(desk: Desk, store: FaultyStore):
    attempts = 0

    class Counting(FaultyStore):
        async def step(self, *arguments):
            nonlocal attempts
            attempts += 1
            return await super().step(*arguments)

    counting = Counting(desk.shard)
    async with serving(Gate().app, counting):
        counting.down = LOST
        await asyncio.sleep(0.2)
        attempts = 0
        await asyncio.sleep(0.5)
        assert attempts <= 8
        counting.down = None


async def test_lost_inbox_connection_alone_makes_a_worker_tell_its_results_again(desk: Desk):
    """The store behind the next one may have gone back in time, and the other connection, idle, has not noticed."""

    class Deaf(FaultyStore):
        deaf = False

        async def read_inbox(self, *arguments):
            if self.deaf:
                self.deaf = False
                raise LOST
            return await super().read_inbox(*arguments)

    gate, deaf = Gate(), Deaf(desk.shard)
    gate.open.set()
    async with serving(gate.app, deaf):
        await desk.ended(await desk.give("hold"))
        await eventually(lambda: desk.inbox_length() == 0)
        told = sum(completions for completions, _ in deaf.steps)
        deaf.deaf = True
        await eventually(lambda: sum(completions for completions, _ in deaf.steps) == told + 1)
    assert gate.runs == 1


def test_worker_is_heard_of_soon_after_a_long_outage():
    """Within three heartbeats; after five a leader would give it up."""

    async def story() -> None:
        store, loop = FaultyStore(MemoryShard()), asyncio.get_running_loop()
        settings = WorkerSettings(worker_id=WORKER, slots=1, heartbeat_s=0.4)
        worker = Worker(Gate().app, store, settings, Log("error", WORKER), clock_s=loop.time)
        running = asyncio.create_task(worker.run())
        await worker.ready.wait()
        for number in range(20):
            store.down = LOST
            await asyncio.sleep(10.0 + 0.37 * number)
            store.down = None
            steps, back_at_s = len(store.steps), loop.time()
            while len(store.steps) == steps:
                await asyncio.sleep(0.01)
            assert loop.time() - back_at_s < 3 * settings.heartbeat_s + 0.05
        worker.stop()
        await running

    virtually(story())


async def test_store_that_went_back_in_time_hears_of_it_again(desk: Desk, store: FaultyStore):
    gate = Gate()
    gate.open.set()
    async with serving(gate.app, store):
        task_id = await desk.submit("hold")
        envelope = desk.shard.tasks[task_id].envelope
        entry = (await desk.hand_out(task_id))[0]
        await desk.ended(task_id)
        # A server restarted from an older file: the task is in the inbox as if nothing had happened.
        task = desk.shard.tasks[task_id]
        task.state, task.envelope, task.outcome = "Q", envelope, ""
        desk.roll_inbox_back(entry, task_id)
        assert (await desk.ended(task_id)).outcome == "succeeded"
        await eventually(lambda: desk.inbox_length() == 0)
    assert gate.runs == 1


async def test_missed_entry_is_found_by_the_next_reconciliation(desk: Desk, store: FaultyStore):
    gate = Gate()
    gate.open.set()
    async with serving(gate.app, store):
        first, second = await desk.submit("hold"), await desk.submit("hold")
        await desk.hand_out(first)
        await desk.ended(first)
        desk.roll_inbox_back("0-1", second)  # below the cursor, and nobody wakes the reader
        await desk.ended(second)
    assert gate.runs == 2


async def test_fenced_worker_registers_again_and_reports_what_it_still_runs(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store):
        task_id = await desk.give("hold")
        await eventually(lambda: gate.inside == 1)
        await desk.reap()
        assert desk.state(task_id) == "Q"
        await eventually(lambda: desk.shard.workers[WORKER].standing == "UP")
        gate.open.set()
        assert (await desk.ended(task_id)).outcome == "succeeded"
    assert gate.runs == 1
    assert len(desk.facts(task_id)) == 1
    assert desk.shard.workers[WORKER].incarnation == 3  # one of each side


async def test_later_attempt_waits_for_the_earlier_one_here(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store):
        task_id = await desk.give("hold")
        await eventually(lambda: gate.inside == 1)
        await desk.reap()
        await eventually(lambda: desk.shard.workers[WORKER].standing == "UP")
        await desk.hand_out(task_id, attempt=2)
        await asyncio.sleep(0.05)
        assert gate.runs == 1
        gate.open.set()
        await desk.ended(task_id)
        await eventually(lambda: desk.inbox_length() == 0)
    assert gate.runs == 1


async def test_name_that_is_used_twice_ends_the_worker(desk: Desk, store: FaultyStore):
    with pytest.raises(Fenced, match="use another name"):
        async with serving(Gate().app, store):
            store.before_step = [Fenced("not the live one") for _ in range(20)]
            await eventually(lambda: len(store.before_step) == 15)


async def test_what_waiting_cannot_cure_ends_the_worker(desk: Desk, store: FaultyStore):
    store.down = StateLost("the shard is gone")
    with pytest.raises(StateLost):
        async with serving(Gate().app, store):
            pass


async def test_worker_waits_for_a_store_that_is_not_there_yet(desk: Desk, store: FaultyStore):
    store.down = LOST
    asyncio.get_running_loop().call_later(0.15, setattr, store, "down", None)
    async with serving(Gate().app, store):
        assert desk.shard.workers[WORKER].standing == "UP"
