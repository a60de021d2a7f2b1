"""Both clients on a shard in memory: what they submit, and how the end of a task reaches its submitter."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from copy import copy
from pathlib import Path

import msgspec
import pytest

from nexus_sched.client import (
    AsyncClient,
    BatchInterrupted,
    BatchRefused,
    Client,
    ClientClosed,
    submission,
)
from nexus_sched.client.connect import default_pool, default_url
from nexus_sched.errors import (
    PASSING,
    InvalidInput,
    QueueFull,
    ResultPending,
    StoreError,
    StoreLoading,
    StoreOutOfMemory,
    StoreUnreachable,
    TaskFailed,
    TaskUnknown,
)
from nexus_sched.model.command import CancelTask, decode_command
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.payload import encode_error, encode_result
from nexus_sched.model.task import TaskSpec
from nexus_sched.runtime.ports import CommitPlan, EndLine
from tests.unit.client.bench import FaultySubmitterStore

LOST = StoreUnreachable("reply lost")


# -- one submission


def test_submission_says_everything():
    one = submission(
        "a.b", 1, priority=9, task_id="mine", timeout="30s", hint=2, max_attempts=5, retry="any", traceparent="00-1"
    )
    assert (one.id, one.line.task_id, one.line.priority) == ("mine", "mine", 9)
    spec = msgspec.msgpack.decode(one.line.spec, type=TaskSpec)
    assert (spec.timeout_ms, spec.hint_ms, spec.max_attempts, spec.retry.value) == (30_000.0, 2_000.0, 5, "any")
    assert msgspec.msgpack.decode(one.line.payload) == [1]


def test_default_submission_is_small():
    one = submission("noop")
    assert msgspec.msgpack.decode(one.line.spec) == {"type": "noop"}
    assert one.line.payload == b""
    assert len({submission("noop").id for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 10},
        {"priority": -1},
        {"task_id": "no spaces"},
        {"timeout": "soon"},
        {"timeout": -1.0},
        {"hint": float("inf")},
        {"max_attempts": 0},
        {"retry": "always"},
        {"codec": "pickle"},
        {"payload": b"x", "kwargs": {"a": 1}},
        {"kwargs": {"a": object()}},
        {"traceparent": "x" * 65},
    ],
)
def test_submission_out_of_bounds_is_refused(options):
    with pytest.raises(InvalidInput):
        submission("name", **options)
    with pytest.raises(InvalidInput):
        submission("no spaces")


# -- results


async def test_announced_result_needs_no_polling(store, hand):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add", 1, 2)
        waiting = asyncio.create_task(handle.result())
        await asyncio.sleep(0.02)
        hand.finish(handle.id, result=encode_result(3))
        assert await waiting == 3
        assert store.records == 1
        assert await handle.state() == "succeeded"


async def test_result_is_found_without_any_announcement(store, hand):
    store.announces = False
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add", 1, 2)
        waiting = asyncio.create_task(handle.result("10s"))
        await asyncio.sleep(0.02)
        hand.finish(handle.id, result=encode_result([1, "a"]))
        assert await waiting == [1, "a"]
        assert await client.result(handle.id) == [1, "a"]  # and once more, long after


async def test_no_result_is_none(store, hand):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("noop")
        hand.finish(handle.id)
        assert await handle.result() is None


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.REJECTED, Outcome.CANCELLED])
async def test_failed_task_tells_why(store, hand, outcome, announced):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        waiting = asyncio.create_task(handle.result("10s"))
        if announced:
            await asyncio.sleep(0.02)
        hand.finish(handle.id, outcome, encode_error("ValueError: no"))
        with pytest.raises(TaskFailed) as caught:
            await waiting
        assert (caught.value.outcome, caught.value.reason) == (outcome.value, "ValueError: no")
        assert await handle.state() == outcome.value


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    ("dead", "reason", "expected"),
    [
        (True, Reason.WORKER_KILLER, ("dead", "worker-killer", "dead")),
        (False, Reason.CANCELLED, ("cancelled", "cancelled before it started", "cancelled")),
    ],
)
async def test_task_that_never_ran_tells_why(shard, store, dead, reason, expected, announced):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        waiting = asyncio.create_task(handle.result("10s"))
        if announced:
            await asyncio.sleep(0.02)
        lease = shard.acquire("leader", "nonce", None)
        end = EndLine(dead, handle.id, 0, reason, "", "")
        plan = CommitPlan(turn=b"", trims={}, removals={}, dispatches=[], ends=[end], retracts=[], stops=[])
        shard.commit(lease, 0, plan, publish=False)
        with pytest.raises(TaskFailed) as caught:
            await waiting
        assert (caught.value.outcome, caught.value.reason, await handle.state()) == expected


async def test_waiting_ends_at_the_timeout_and_may_go_on(store, hand):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        with pytest.raises(ResultPending, match="it is queued"):
            await handle.result(timeout=0.05)
        hand.start(handle.id)
        with pytest.raises(ResultPending, match="it is running"):
            await handle.result("50ms")
        hand.finish(handle.id)
        assert await handle.result() is None


async def test_unknown_task_is_said_to_be_unknown(store):
    async with AsyncClient(store=store) as client:
        with pytest.raises(TaskUnknown):
            await client.result("never-heard-of")
        with pytest.raises(TaskUnknown):
            await client.state("never-heard-of")


async def test_cancel_is_a_command(shard, store):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        await handle.cancel()
    [(_, fields)] = shard.streams["cmd"].after((0, 0), 10)
    assert decode_command(fields[1]) == CancelTask(handle.id)


async def test_status_is_none_without_a_scheduler(store):
    async with AsyncClient(store=store) as client:
        assert await client.status() is None


# -- submitting while the store fails


@pytest.mark.parametrize("applied", [True, False])
async def test_lost_reply_submits_once(shard, store, applied):
    (store.after_submit if applied else store.before_submit).extend([LOST, StoreLoading("LOADING")])
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        assert len(store.calls) == 3
        assert list(shard.tasks) == [handle.id]


async def test_submission_gives_up_after_its_patience(store):
    store.before_submit = [LOST] * 100
    async with AsyncClient(store=store, patience_s=0.25) as client:
        with pytest.raises(StoreUnreachable):
            await client.submit("add")
    assert 2 <= len(store.calls) <= 4


async def test_result_survives_lost_replies(store, hand):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        hand.finish(handle.id, result=encode_result(3))
        store.lost_replies = [LOST, StoreLoading("LOADING")]
        assert await handle.result("5s") == 3
        assert not store.lost_replies


async def test_result_that_went_with_a_store_that_went_back_is_not_an_empty_one(shard, store, hand, monkeypatch):
    store.announces = False
    async with AsyncClient(store=store) as client:
        handle = await client.submit("job", task_id="t1")
        before = copy(shard.tasks["t1"])
        hand.finish("t1", result=encode_result(42))
        kept = store.result

        async def go_back(task_id: str) -> bytes | None:
            shard.tasks["t1"], shard.results = before, {}
            monkeypatch.setattr(store, "result", kept)
            asyncio.get_running_loop().call_later(0.05, hand.finish, "t1", Outcome.SUCCEEDED, encode_result(43))
            return await kept(task_id)

        monkeypatch.setattr(store, "result", go_back)
        assert await handle.result(5.0) == 43


async def test_cancelling_and_estimates_survive_lost_replies(store):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        store.lost_replies = [LOST, LOST]
        await handle.cancel()
        assert len(store.lost_replies) == 0
        store.lost_replies = [LOST]
        assert await client.last_eta(handle.id) is None
        assert not store.lost_replies


@pytest.mark.parametrize("state", PASSING)
async def test_state_of_the_store_that_passes_is_waited_for(store, state: type[StoreError]):
    store.before_submit = [state("for a while")]
    async with AsyncClient(store=store) as client:
        await client.submit("add")
    assert len(store.calls) == 2


async def test_what_waiting_cannot_cure_is_raised_at_once(store):
    store.before_submit = [StoreOutOfMemory("OOM")]
    async with AsyncClient(store=store) as client:
        with pytest.raises(StoreOutOfMemory):
            await client.submit("add")
    assert len(store.calls) == 1


async def test_same_id_is_submitted_once(shard, store):
    async with AsyncClient(store=store) as client:
        first = await client.submit("add", task_id="order-1")
        again = await client.submit("add", task_id="order-1")
        assert first.id == again.id == "order-1"
    assert len(shard.streams["q:5"]) == 1


# -- many


async def test_many_are_sent_in_chunks_and_come_back_in_order(shard, store):
    async with AsyncClient(store=store) as client:
        many = [submission("add", number) for number in range(600)]
        handles = await client.submit_many(many)
    assert [handle.id for handle in handles] == [one.id for one in many]
    assert store.calls == [256, 256, 88]
    assert len(shard.tasks) == 600


async def test_chunks_are_bounded_in_bytes(shard, store):
    async with AsyncClient(store=store) as client:
        await client.submit_many([submission("put", bytes(3 * 2**20)) for _ in range(5)])
    assert store.calls == [2, 2, 1]


async def test_nothing_to_submit_is_no_call(store):
    async with AsyncClient(store=store) as client:
        assert await client.submit_many([]) == []
    assert store.calls == []


async def test_full_queue_says_which_were_taken(shard):
    store = FaultySubmitterStore(shard, length_max=300)
    async with AsyncClient(store=store) as client:
        many = [submission("add", number) for number in range(3_000)]
        with pytest.raises(BatchRefused) as caught:
            await client.submit_many(many)
        assert caught.value.accepted == [one.id for one in many[:300]]
        assert caught.value.refused == many[300:]
        assert caught.value.retry_after_ms > 0
        assert len(store.calls) < 12  # it stops asking
        with pytest.raises(QueueFull):
            await client.submit("add")


async def test_outage_within_a_batch_says_what_is_uncertain(shard, store):
    async with AsyncClient(store=store, patience_s=0.0) as client:
        many = [submission("add", number) for number in range(600)]
        store.after_submit = [LOST]
        with pytest.raises(BatchInterrupted) as caught:
            await client.submit_many(many)
        assert sorted([*caught.value.accepted, *(one.id for one in caught.value.uncertain)]) == [one.id for one in many]
        assert caught.value.uncertain == many[:256]
        await client.submit_many(caught.value.uncertain)
    assert len(shard.streams["q:5"]) == 600


# -- without asyncio


def test_synchronous_client_does_the_same(shard, store, hand):
    with Client(store=store) as client:
        handle = client.submit("add", 1, 2)
        assert handle.state() == "queued"
        with pytest.raises(ResultPending):
            handle.result(timeout=0.05)
        client._loop.call(_in_loop(hand.finish, handle.id, Outcome.SUCCEEDED, encode_result(3)))
        assert handle.result(timeout="10s") == 3
        assert [h.id for h in client.submit_many([submission("a", task_id="x"), submission("b", task_id="y")])] == [
            "x",
            "y",
        ]
        handle.cancel()
        assert client.status() is None
    with pytest.raises(ClientClosed):
        client.submit("add")
    client.close()


async def _in_loop(call, *args):
    call(*args)


def test_synchronous_client_serves_many_threads(store, shard):
    with Client(store=store) as client:
        threads = [threading.Thread(target=lambda: [client.submit("add") for _ in range(20)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(shard.tasks) == 160


@pytest.mark.parametrize("ending", ["", "del client", "client.close()", "raise SystemExit(0)"])
def test_program_that_ends_leaves_no_thread_and_no_warning(root: Path, ending: str):
    program = (
        "from nexus_sched import Client\n"
        "from nexus_sched.adapters.memory import MemoryShard, MemorySubmitterStore\n"
        "client = Client(store=MemorySubmitterStore(MemoryShard()))\n"
        "handle = client.submit('add', 1)\n"
        "try:\n"
        "    handle.result(timeout=0.01)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
        f"{ending}\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("ResultPending\n", "")


def test_url_and_pool_come_from_the_environment(monkeypatch):
    for name in ("NEXUS__REDIS__URL", "NEXUS__REDIS_URL", "NEXUS__POOL__NAME"):
        monkeypatch.delenv(name, raising=False)
    assert (default_url(), default_pool()) == ("redis://127.0.0.1:6379/0", "default")
    monkeypatch.setenv("NEXUS__REDIS_URL", "redis://alias:1/0")
    assert default_url() == "redis://alias:1/0"
    monkeypatch.setenv("NEXUS__REDIS__URL", "redis://key:1/0")
    monkeypatch.setenv("NEXUS__POOL__NAME", "blue")
    assert (default_url(), default_pool()) == ("redis://key:1/0", "blue")
