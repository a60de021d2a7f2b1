"""What a worker on a shard in memory runs, how that ends, and what it says about it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nexus_sched.model.outcome import RESULT_BYTES_MAX
from nexus_sched.worker import App, current
from tests.unit.worker.bench import Desk, FaultyStore, Gate, eventually, serving

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
