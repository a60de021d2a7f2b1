"""Time-outs, stops and draining: how tasks and workers end before they are done."""

from __future__ import annotations

import asyncio
import threading

import msgspec

from nexus_sched.model.worker import WorkerReport
from nexus_sched.worker import App, Worker, WorkerSettings, current
from nexus_sched.worker.log import Log
from tests.unit.worker.bench import WORKER, Desk, FaultyStore, Gate, eventually, serving

# -- time-outs


async def test_asynchronous_function_is_cancelled_at_its_timeout(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store):
        task_id = await desk.give("hold", timeout=0.05)
        assert (await desk.ended(task_id)).outcome == "timed-out"
        assert desk.error(task_id) == "ran longer than its 50 ms"
        assert gate.inside == 0


async def test_function_that_ignores_its_cancellation_is_still_reported(desk: Desk, store: FaultyStore, monkeypatch):
    monkeypatch.setattr("nexus_sched.worker.executors.CANCEL_GRACE_S", 0.05)
    app, go = App(), asyncio.Event()

    @app.task(timeout=0.05)
    async def stubborn() -> str:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    @app.task
    async def other() -> None: ...

    async with serving(app, store, slots=1):
        task_id = await desk.give("stubborn")
        assert (await desk.ended(task_id)).outcome == "timed-out"
        waiting = await desk.give("other")
        await asyncio.sleep(0.05)
        assert desk.state(waiting) == "Q"  # the slot is not free before the function has ended
        go.set()
        await desk.ended(waiting)
    assert len(desk.facts(task_id)) == 1


async def test_thread_is_reported_at_its_timeout_and_keeps_its_slot(desk: Desk, store: FaultyStore):
    app, go, told = App(), threading.Event(), threading.Event()

    @app.task(timeout="50ms")
    def slow() -> str:
        if current().wait(10):
            told.set()
        go.wait(10)
        return "too late"

    @app.task
    async def other() -> None: ...

    async with serving(app, store, slots=1):
        task_id = await desk.give("slow")
        assert (await desk.ended(task_id)).outcome == "timed-out"
        waiting = await desk.give("other")
        await asyncio.sleep(0.05)
        assert desk.state(waiting) == "Q"
        go.set()
        await desk.ended(waiting)
    assert told.is_set()
    assert desk.error(task_id) == "ran longer than its 50 ms"
    assert len(desk.facts(task_id)) == 1


async def test_submitters_timeout_wins_over_the_functions(desk: Desk, store: FaultyStore):
    app = App()

    @app.task(timeout=0.02)
    async def nap() -> str:
        await asyncio.sleep(0.1)
        return "rested"

    async with serving(app, store):
        patient, hasty = await desk.give("nap", timeout="30s"), await desk.give("nap")
        await desk.ended(patient)
        assert (await desk.ended(hasty)).outcome == "timed-out"
    assert desk.value(patient) == "rested"


# -- stop


def stoppable() -> tuple[Gate, threading.Event]:
    """`hold` waits on the loop; in threads `patient` lets itself be stopped, and `polite` ends by itself."""
    gate, began = Gate(), threading.Event()

    @gate.app.task
    def patient() -> str:
        began.set()
        while True:
            current().wait(10)
            current().check_cancelled()

    @gate.app.task
    def polite() -> str:
        began.set()
        current().wait(10)
        return "finished in time"

    return gate, began


async def test_running_tasks_are_cancelled_in_their_own_way(desk: Desk, store: FaultyStore):
    gate, began = stoppable()
    async with serving(gate.app, store, slots=3):
        for name, outcome in (("hold", "cancelled"), ("patient", "cancelled"), ("polite", "succeeded")):
            began.clear()
            task_id = await desk.give(name)
            await eventually(lambda: gate.inside or began.is_set())
            await desk.stop(task_id)
            assert (await desk.ended(task_id)).outcome == outcome
        await eventually(lambda: desk.inbox_length() == 0)  # the control messages have gone as well


async def test_task_that_still_waits_is_cancelled_without_running(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store, slots=1):
        await desk.give("hold")
        await eventually(lambda: gate.inside == 1)
        task_id = await desk.give("hold")
        await asyncio.sleep(0.02)
        await desk.stop(task_id)
        assert (await desk.ended(task_id)).outcome == "cancelled"
        assert desk.error(task_id) == "cancelled before it started"
        await eventually(lambda: desk.inbox_length() == 1)
    assert gate.runs == 1


async def test_preempted_runs_go_back_in_their_own_way(desk: Desk, store: FaultyStore):
    gate, began = stoppable()
    async with serving(gate.app, store, slots=3):
        for name, state in (("hold", "Q"), ("patient", "Q"), ("polite", "F")):
            began.clear()
            task_id = await desk.give(name)
            await eventually(lambda: gate.inside or began.is_set())
            await desk.stop(task_id, control="preempt")
            await eventually(lambda: desk.state(task_id) == state)  # noqa: B023 - awaited within this round
        await eventually(lambda: desk.inbox_length() == 0)
        returned = [fields for _, fields in desk.shard.streams["q:r"].after((0, 0), 10)]
        assert [fields[fields.index(b"y") + 1] for fields in returned] == [b"preempted"] * 2


async def test_stop_for_a_task_that_has_ended_leaves_the_inbox(desk: Desk, store: FaultyStore):
    gate = Gate()
    gate.open.set()
    async with serving(gate.app, store):
        task_id = await desk.give("hold")
        await desk.ended(task_id)
        await desk.stop(task_id)
        await eventually(lambda: desk.inbox_length() == 1)
        await eventually(lambda: desk.inbox_length() == 0)
    assert [fact.outcome.value for fact in desk.facts(task_id)] == ["succeeded"]


async def test_task_that_was_taken_back_does_not_run(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store, slots=1):
        await desk.give("hold")
        await eventually(lambda: gate.inside == 1)
        task_id = await desk.submit("hold")
        entry = (await desk.hand_out(task_id))[0]
        await asyncio.sleep(0.02)
        await desk.take_back(task_id, entry)
        gate.open.set()
        await asyncio.sleep(0.1)
    assert gate.runs == 1
    assert desk.state(task_id) == "Q"


# -- draining


async def test_drain_finishes_what_runs_and_gives_back_the_rest(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store, slots=1) as worker:
        running, waiting = await desk.submit("hold"), await desk.submit("hold")
        await desk.hand_out(running, waiting)
        await eventually(lambda: gate.inside == 1)
        worker.drain()
        await eventually(lambda: any(msgspec.msgpack.decode(r, type=WorkerReport).draining for r in store.reports))
        gate.open.set()
        await desk.ended(running)
        await eventually(lambda: desk.shard.workers[WORKER].standing == "LEFT")
    assert gate.runs == 1
    assert desk.state(waiting) == "Q"
    assert len(desk.shard.streams["q:r"]) == 1


async def test_drain_that_takes_too_long_gives_everything_back(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store, drain_timeout_s=0.1) as worker:
        task_id = await desk.give("hold")
        await eventually(lambda: gate.inside == 1)
        worker.drain()
        await eventually(lambda: desk.shard.workers[WORKER].standing == "LEFT")
    assert desk.state(task_id) == "Q"
    assert desk.facts(task_id) == []  # it was not cancelled for its submitter, it will run elsewhere
    assert gate.inside == 0


async def test_run_says_whether_something_was_left(desk: Desk, store: FaultyStore):
    for leave_something in (False, True):
        gate = Gate()
        worker = Worker(gate.app, store, WorkerSettings(worker_id=WORKER, slots=1), Log("error", WORKER))
        running = asyncio.create_task(worker.run())
        await worker.ready.wait()
        if leave_something:
            await desk.give("hold")
            await eventually(lambda there=gate: there.inside == 1)
            worker.stop()
        else:
            worker.drain()
        assert await running == int(leave_something)


async def test_worker_beats_while_idle_and_while_a_thread_blocks(desk: Desk, store: FaultyStore):
    app, go = App(), threading.Event()
    app.task("block")(lambda: go.wait(10) and None)
    async with serving(app, store):
        before = desk.shard.beats[WORKER]
        await eventually(lambda: desk.shard.beats[WORKER] >= before + 3)
        await desk.give("block")
        await eventually(lambda: store.steps[-1] == (0, 1))
        before = desk.shard.beats[WORKER]
        await eventually(lambda: desk.shard.beats[WORKER] >= before + 3)
        go.set()
