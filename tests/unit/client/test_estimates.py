"""How an estimate reaches its submitter, how the scheduler is asked, and what is said when nobody answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryShard
from nexus_sched.client import AsyncClient, Client
from nexus_sched.client.estimate import estimate_of
from nexus_sched.errors import AnswerMissing, TaskUnknown
from nexus_sched.model.command import Ask, decode_command
from nexus_sched.model.effects import Answered, AnyEffect, Estimated
from nexus_sched.model.eta import NO_ESTIMATE, Eta
from nexus_sched.model.question import AskEta
from nexus_sched.model.task import TaskSpec
from nexus_sched.runtime.plan import plan_commit

ETA = Eta(1_000, 10.0, 20.0, 30.0, 110.0, 130.0, 150.0, 0.5, "like runs", 0.75, 0.9)
NEWER = msgspec.structs.replace(ETA, at_ms=2_000, finish_p50_ms=120.0)


def commit(shard: MemoryShard, *effects: AnyEffect) -> None:
    """What a leader's turn with these effects does."""
    lease = shard.acquire("leader", "nonce", None)
    shard.commit(lease, lease.seq, plan_commit(b"turn", effects, {}), publish=False)


async def lead(shard: MemoryShard, eta: Eta) -> None:
    """A scheduler that knows one answer: to the first task that wants an estimate, then to each question."""
    while not len(shard.streams["q:5"]):
        await asyncio.sleep(0.001)
    for task_id in shard.tasks:
        commit(shard, Estimated(task_id, eta))
    answered = 0
    while True:
        for _, fields in shard.streams["cmd"].after((0, 0), 100)[answered:]:
            answered += 1
            asked = decode_command(fields[1])
            assert isinstance(asked, Ask)
            commit(shard, Answered(asked.reply, msgspec.json.encode({"eta": msgspec.structs.asdict(NEWER)})))
        await asyncio.sleep(0.001)


async def test_submitter_hears_the_estimate_and_may_ask_again(shard, store):
    leader = asyncio.create_task(lead(shard, ETA))
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add", 1, 2, eta=True)
        assert handle.eta == estimate_of(handle.id, ETA)
        assert await client.last_eta(handle.id) == handle.eta
        assert await handle.ask_eta() == estimate_of(handle.id, NEWER)
        spec = shard.streams["q:5"].after((0, 0), 1)[0][1][3]
        assert msgspec.msgpack.decode(spec, type=TaskSpec).eta
    leader.cancel()


async def test_estimate_is_not_taken_for_the_end(shard, store, hand):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        waiting = asyncio.create_task(handle.result("5s"))
        await asyncio.sleep(0.02)
        commit(shard, Estimated(handle.id, ETA))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        hand.finish(handle.id, result=b"\x07")
        assert await waiting == 7


async def test_silent_scheduler_costs_the_wait_and_nothing_else(shard, store):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add", eta=True, eta_timeout="20ms")
        assert handle.eta is None
        assert len(shard.streams["q:5"]) == 1
        with pytest.raises(AnswerMissing, match=r"within 0\.02 s"):
            await client.ask(AskEta(handle.id), "20ms")
        assert await client.eta(handle.id, "20ms") is None
        commit(shard, Estimated(handle.id, ETA))
        assert await client.eta(handle.id, "20ms") == estimate_of(handle.id, ETA)


async def test_repeated_submission_gets_what_was_told_before(shard, store):
    async with AsyncClient(store=store) as client:
        await client.submit("add", task_id="mine")
        commit(shard, Estimated("mine", ETA))
        handle = await client.submit("add", task_id="mine", eta=True, eta_timeout="1h")
        assert handle.eta == estimate_of("mine", ETA)


async def test_ended_task_shows_its_last_estimate_and_an_unknown_one_is_unknown(shard, store, hand):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        commit(shard, Estimated(handle.id, ETA))
        hand.finish(handle.id)
        assert await handle.ask_eta() == estimate_of(handle.id, ETA)
        assert len(shard.streams["cmd"]) == 0
        with pytest.raises(TaskUnknown):
            await client.eta("never-heard-of")


def test_plain_client_has_the_same_calls(shard, store):
    with Client(store=store) as client:
        handle = client.submit("add", eta=True, eta_timeout="10ms")
        assert handle.eta is None
        assert client.eta(handle.id, "10ms") is None
        with pytest.raises(AnswerMissing):
            client.ask(AskEta(handle.id), "10ms")


def test_estimate_is_told_in_seconds_and_as_instants():
    estimate = estimate_of("a", ETA)
    assert estimate.known
    assert estimate.made_at == datetime.fromtimestamp(1, UTC)
    assert estimate.finish is not None
    assert (estimate.finish.p50_s, estimate.finish.p95_s) == (0.11, 0.15)
    assert estimate.finish.p80_at == datetime.fromtimestamp(1.13, UTC)
    assert (estimate.on_time, estimate.recent_within_25) == (0.75, 0.9)


def test_no_estimate_has_no_numbers():
    nothing = estimate_of("a", Eta(1_000, *[-1.0] * 6, 0.0, NO_ESTIMATE))
    assert not nothing.known
    assert (nothing.start, nothing.finish, nothing.on_time, nothing.recent_within_25) == (None, None, None, None)
    assert nothing.basis == "no estimate yet"
