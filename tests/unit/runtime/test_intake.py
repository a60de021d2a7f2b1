"""Batches keep the order of causes, turns take whole batches, and the reader waits when the engine is behind."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.errors import StoreError
from nexus_sched.model.command import CancelTask, ChoosePredictor, encode_command
from nexus_sched.model.events import CancelRequested, PredictorChosen, TaskReclaimed, TaskRefused, TaskSubmitted
from nexus_sched.runtime.intake import READ_COUNT, TURN_EVENTS_MAX, WAITING_EVENTS_MAX, Inputs, in_order
from nexus_sched.runtime.ports import INPUT_STREAMS, SubmitLine
from nexus_sched.testing.builders import finished, submitted

SPEC = msgspec.msgpack.encode({"type": "kind"})


def start() -> dict[str, str]:
    return dict.fromkeys(INPUT_STREAMS, "0-0")


def fill(shard: MemoryShard, count: int) -> None:
    lines = [SubmitLine(f"t{number}", 5, SPEC, b"") for number in range(count)]
    shard.submit(lines, "", 10**6, 10**9)


@pytest.fixture
def shard() -> MemoryShard:
    return MemoryShard(lambda: 1_000)


@pytest.fixture
async def inputs(shard: MemoryShard):
    inputs = Inputs(MemoryLeaderStore(shard), start())
    reader = asyncio.ensure_future(inputs.read())
    yield inputs
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_turn_takes_whole_batches_up_to_its_bound():
    inputs = Inputs(MemoryLeaderStore(MemoryShard()), start())
    for number in range(5):
        inputs.feed([finished(f"t{number}-{each}") for each in range(200)], "res", f"{number}-0")
    events, cursors = inputs.take()
    assert (len(events), cursors) == (400, {"res": "1-0"})
    assert len(inputs.take()[0]) + len(inputs.take()[0]) == 600
    assert inputs.take() == ([], {})


async def test_turn_takes_one_batch_even_if_it_is_larger_than_its_bound():
    inputs = Inputs(MemoryLeaderStore(MemoryShard()), start())
    inputs.feed([finished(f"t{each}") for each in range(TURN_EVENTS_MAX + 1)])
    assert len(inputs.take()[0]) == TURN_EVENTS_MAX + 1


async def test_reader_stops_when_too_much_waits_and_goes_on_when_it_was_taken(shard: MemoryShard, inputs: Inputs):
    fill(shard, 10_000)
    await settled()
    waiting = sum(len(batch.events) for batch in inputs._batches)
    assert WAITING_EVENTS_MAX <= waiting < WAITING_EVENTS_MAX + READ_COUNT
    seen = 0
    async with asyncio.timeout(5):
        while seen < 10_000:
            seen += len(inputs.take()[0])
            await asyncio.sleep(0)
    assert not inputs


async def test_reader_wakes_the_turn_loop(shard: MemoryShard, inputs: Inputs):
    await settled()
    assert not inputs.arrived.is_set()
    fill(shard, 1)
    await asyncio.wait_for(inputs.arrived.wait(), 1)
    events, cursors = inputs.take()
    assert [event.task.id for event in events] == ["t0"]
    assert cursors == {"q:5": "1000-0"}


async def test_cancel_of_a_task_submitted_just_before_comes_behind_it(shard: MemoryShard, inputs: Inputs):
    fill(shard, 1)
    shard.append("cmd", b"f", encode_command(CancelTask("t0")))
    await settled()
    assert [type(event) for event in inputs.take()[0]] == [TaskSubmitted, CancelRequested]


async def test_all_that_was_reclaimed_comes_before_any_end(shard: MemoryShard, inputs: Inputs):
    for number in range(READ_COUNT + 10):
        name = b"t%d" % number
        shard.append("q:r", b"i", name, b"a", b"1", b"w", b"w1", b"y", b"worker-left", b"n", b"1")
        shard.append("res", b"i", name, b"a", b"1", b"w", b"w1", b"f", b"")
    await settled()
    kinds = [type(event) is TaskReclaimed for _ in range(4) for event in inputs.take()[0]]
    assert kinds == sorted(kinds, reverse=True)
    assert len(kinds) == 2 * (READ_COUNT + 10)


def test_read_without_a_full_reclaimed_stream_is_taken_whole():
    parts = [("q:r", [[b"1-0", []]]), ("res", [[b"1-0", []]]), ("cmd", [[b"1-0", []]]), ("q:5", [[b"1-0", []]])]
    assert [stream for stream, _ in in_order(parts, 2)] == ["q:r", "res", "q:5", "cmd"]
    assert [stream for stream, _ in in_order(parts, 1)] == ["q:r"]


async def test_careful_inputs_give_one_event_at_a_time_with_the_cursor_on_the_last():
    inputs = Inputs(MemoryLeaderStore(MemoryShard()), start(), one_by_one=True)
    refused = TaskRefused("res", "1-0", "", None, "")  # type: ignore[arg-type]  # only its being the second counts
    inputs.feed([finished("t1"), refused], "res", "1-0")
    inputs.feed([submitted("t2")], "q:5", "2-0")
    assert inputs.take() == ([finished("t1")], {})
    assert inputs.take() == ([refused], {"res": "1-0"})
    assert inputs.take() == ([submitted("t2")], {"q:5": "2-0"})


async def test_careful_reader_reads_one_entry_of_a_stream_at_a_time(shard: MemoryShard):
    counts = []

    class Counting(MemoryLeaderStore):
        async def read(self, cursors, count, block_ms):
            counts.append(count)
            return await super().read(cursors, count, block_ms)

    inputs = Inputs(Counting(shard), start(), one_by_one=True)
    fill(shard, 3)
    reader = asyncio.ensure_future(inputs.read())
    await settled()
    assert [len(inputs.take()[0]) for _ in range(4)] == [1, 1, 1, 0]
    assert set(counts) == {1}
    inputs.one_by_one = False
    fill_more = [SubmitLine(f"m{number}", 5, SPEC, b"") for number in range(9)]
    shard.submit(fill_more, "", 10**6, 10**9)
    await settled()
    assert len(inputs.take()[0]) >= 1
    assert counts[-1] == READ_COUNT
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)


async def test_entry_without_an_id_is_an_error_of_the_store():
    class Odd(MemoryLeaderStore):
        async def read(self, cursors, count, block_ms):
            return [("res", [[None, [b"i", b"t1"]]])]

    with pytest.raises(StoreError):
        await Inputs(Odd(MemoryShard()), start()).read()


def test_chosen_predictor_is_loaded_beside_the_loop_before_its_turn():
    shard = MemoryShard()
    loaded: list[tuple[str, bool]] = []

    def prepare(name: str) -> None:
        loaded.append((name, threading.current_thread() is threading.main_thread()))
        raise ImportError("a plug-in that cannot be loaded must not stop the reading")

    async def story() -> None:
        inputs = Inputs(MemoryLeaderStore(shard), start(), prepare=prepare)
        reading = asyncio.ensure_future(inputs.read())
        shard.append("cmd", b"f", encode_command(ChoosePredictor("boosting")))
        async with asyncio.timeout(5):
            await inputs.arrived.wait()
        reading.cancel()
        assert inputs.take()[0] == [PredictorChosen("boosting")]

    asyncio.run(story())
    assert loaded == [("boosting", False)]
