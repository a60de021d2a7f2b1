"""A worker on a shard in memory: what it runs, how it ends it, and what it says about it."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from nexus_sched.errors import Fenced, StateLost, StoreLoading, StoreUnreachable
from nexus_sched.model.outcome import RESULT_BYTES_MAX
from nexus_sched.model.worker import WorkerOffer, WorkerReport
from nexus_sched.worker import App, current
from tests.unit.worker.bench import WORKER, Desk, FaultyStore, eventually, serving

LOST = StoreUnreachable("reply lost")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def store(desk: Desk) -> FaultyStore:
    return FaultyStore(desk.shard)


class Gate:
    """Asynchronous tasks that wait inside until they are let go, and how many were there at once."""

    def __init__(self) -> None:
        self.app = App()
        self.open = asyncio.Event()
        self.inside = self.inside_max = self.runs = 0
        self.app.task(self.hold)

    async def hold(self) -> str:
        self.runs += 1
        self.inside += 1
        self.inside_max = max(self.inside_max, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return "held"


# -- what runs


async def test_functions_of_both_kinds_return_their_results(desk: Desk, store: FaultyStore):
    app = App()

    @app.task
    async def add(a: int, b: int) -> int:
        return a + b

    @app.task("text.join")
    def join(*, left: str, right: str) -> str:
        assert threading.current_thread() is not threading.main_thread()
        return left + right

    async with serving(app, store):
        first = await desk.give("add", 1, 2)
        second = await desk.give("text.join", kwargs={"left": "a", "right": "b"})
        assert (await desk.ended(first)).outcome == "succeeded"
        assert (await desk.ended(second)).outcome == "succeeded"
    assert (desk.value(first), desk.value(second)) == (3, "ab")
    assert desk.inbox_length() == 0


async def test_completion_tells_times_and_size(desk: Desk, store: FaultyStore):
    app = App()

    @app.task
    async def nap() -> str:
        await asyncio.sleep(0.05)
        return "x" * 100

    async with serving(app, store, slots=1):
        first, second = await desk.submit("nap"), await desk.submit("nap")
        await desk.hand_out(first, second)
        await desk.ended(second)
    fact = desk.facts(second)[0]
    assert 50.0 <= fact.run_ms < 5_000.0
    assert fact.queue_ms >= 50.0  # it lay in the inbox while the first one ran
    assert fact.result_bytes == 102


async def test_context_names_the_task_on_the_loop_and_in_a_thread(desk: Desk, store: FaultyStore):
    app = App()

    def seen() -> list[object]:
        here = current()
        return [here.task_id, here.attempt, here.task_type, here.remaining_s is not None, here.traceparent]

    @app.task
    async def loop() -> list[object]:
        await asyncio.sleep(0)
        return seen()

    @app.task
    def thread() -> list[object]:
        return seen()

    async with serving(app, store):
        for name in ("loop", "thread"):
            task_id = await desk.give(name, timeout="30s", traceparent="00-ab-cd-01")
            await desk.ended(task_id)
            assert desk.value(task_id) == [task_id, 1, name, True, "00-ab-cd-01"]
    with pytest.raises(RuntimeError, match="outside of a task"):
        current()


async def test_no_more_run_at_once_than_slots(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store, slots=3):
        task_ids = [await desk.submit("hold") for _ in range(10)]
        await desk.hand_out(*task_ids)
        await eventually(lambda: gate.inside == 3)
        await asyncio.sleep(0.25)  # two heartbeats and a reconciliation do not change that
        assert [desk.state(task_id) for task_id in task_ids] == ["R"] * 3 + ["Q"] * 7
        gate.open.set()
        for task_id in task_ids:
            await desk.ended(task_id)
    assert (gate.inside_max, gate.runs) == (3, 10)


async def test_next_start_travels_with_the_completion(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store, slots=1):
        task_ids = [await desk.submit("hold") for _ in range(2)]
        await desk.hand_out(*task_ids)
        await eventually(lambda: gate.inside == 1)
        gate.open.set()
        await desk.ended(task_ids[1])
    assert (1, 1) in store.steps


# -- what does not run, or ends badly


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("add", {"payload": b"\xc1"}, "not readable msgpack"),
        ("add", {"payload": b'{"a": 1', "codec": "json"}, "not readable json"),
        ("add", {"payload": b"\x91" * 100_000}, "not readable msgpack"),
        ("add", {"payload": b"\x92\x01\xa3abc"}, "argument b: Expected `int`, got `str`"),
        ("add", {"payload": b"\x91\x01"}, "missing a required argument: 'b'"),
        ("add", {"payload": b"\x93\x01\x01\x01"}, "too many positional arguments"),
        ("add", {"kwargs": {"a": 1, "b": 2, "c": 3}}, "unexpected keyword argument 'c'"),
        ("subtract", {}, "this worker has no task subtract"),
    ],
)
async def test_arguments_that_do_not_fit_are_rejected(desk: Desk, store: FaultyStore, name, options, reason):
    app = App()
    entered = False

    @app.task
    async def add(a: int, b: int) -> int:
        nonlocal entered
        entered = True
        return a + b

    async with serving(app, store):
        task_id = await desk.give(name, retry="any", **options)
        assert (await desk.ended(task_id)).outcome == "rejected"
    assert reason in desk.error(task_id)
    assert not entered


async def test_damaged_envelope_is_rejected(desk: Desk, store: FaultyStore):
    gate = Gate()
    async with serving(gate.app, store):
        for envelope in (b"", b"\x00\x00\xff\xffshort", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x01\x80"):
            task_id = await desk.submit("hold")
            desk.shard.tasks[task_id].envelope = envelope
            await desk.hand_out(task_id)
            assert (await desk.ended(task_id)).outcome == "rejected"
    assert gate.runs == 0


@pytest.mark.parametrize("kind", ["loop", "thread"])
async def test_what_a_function_raises_is_told_with_its_place(desk: Desk, store: FaultyStore, kind: str):
    app = App()

    def fail(how: str) -> None:
        raise {"value": ValueError("wrong"), "exit": SystemExit(3), "long": ValueError("x" * 10_000)}[how]

    if kind == "thread":
        app.task("fail")(fail)
    else:

        @app.task("fail")
        async def fail_on_loop(how: str) -> None:
            fail(how)

    async with serving(app, store):
        for how, text in (("value", "ValueError: wrong"), ("exit", "SystemExit: 3"), ("long", "ValueError: xxx")):
            task_id = await desk.give("fail", how)
            assert (await desk.ended(task_id)).outcome == "failed"
            assert desk.error(task_id).startswith(text)
            assert desk.error(task_id).endswith(" in fail)")
            assert len(desk.error(task_id)) <= 2_000
            assert desk.facts(task_id)[0].error == desk.error(task_id)


async def test_result_that_cannot_travel_fails_the_task(desk: Desk, store: FaultyStore):
    app = App()

    @app.task
    async def odd() -> object:
        return object()

    @app.task
    async def huge() -> bytes:
        return bytes(RESULT_BYTES_MAX)

    async with serving(app, store):
        for name, reason in (("odd", "result cannot be encoded"), ("huge", f"at most {RESULT_BYTES_MAX}")):
            task_id = await desk.give(name)
            assert (await desk.ended(task_id)).outcome == "failed"
            assert reason in desk.error(task_id)


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


# -- another attempt


@pytest.mark.parametrize(
    ("function", "task", "attempts"),
    [
        ({}, {"retry": "any", "max_attempts": 3}, 3),
        ({}, {"retry": "lost", "max_attempts": 3}, 1),
        ({"retry": "any"}, {"max_attempts": 3}, 3),
        ({"retry": "any", "max_attempts": 2}, {"max_attempts": 3}, 2),
        ({"retry": "any", "max_attempts": 9}, {"max_attempts": 2}, 2),
        ({"retry": "any"}, {"retry": "never"}, 1),
        ({"retry": "never"}, {"retry": "any", "max_attempts": 2}, 2),
    ],
)
async def test_failed_run_is_repeated_only_as_agreed(desk: Desk, store: FaultyStore, function, task, attempts):
    app, seen = App(), []

    @app.task(**function)
    async def fail() -> None:
        seen.append(current().attempt)
        raise ValueError("again")

    async with serving(app, store):
        task_id = await desk.submit("fail", **task)
        for attempt in range(1, attempts + 1):
            await desk.hand_out(task_id, attempt=attempt)
            await eventually(
                lambda wanted=attempt: len(desk.shard.streams["q:r"]) == wanted or desk.state(task_id) == "F"
            )
        assert (await desk.ended(task_id)).outcome == "failed"
    assert seen == list(range(1, attempts + 1))
    assert len(desk.facts(task_id)) == 1


# -- stop


async def test_running_tasks_are_cancelled_in_their_own_way(desk: Desk, store: FaultyStore):
    gate = Gate()
    began = threading.Event()

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
    from nexus_sched.worker import Worker, WorkerSettings
    from nexus_sched.worker.log import Log

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


async def test_offer_carries_slots_class_and_labels(desk: Desk, store: FaultyStore):
    async with serving(Gate().app, store, slots=7, worker_class="c5", labels={"zone": "a"}):
        offer = msgspec.msgpack.decode(desk.shard.workers[WORKER].offer, type=WorkerOffer)
    assert (offer.slots, offer.worker_class, offer.labels) == (7, "c5", {"zone": "a"})


# -- when the world breaks


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
