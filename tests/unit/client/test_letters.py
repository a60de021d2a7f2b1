"""Dead letters from a program's side: found, sent again once in spite of lost replies, and removed."""

from __future__ import annotations

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore
from nexus_sched.client import AsyncClient, BatchRefused, Client, submission
from nexus_sched.client.batch import RETRY_AFTER_MS
from nexus_sched.client.letters import payload_of, spec_of
from nexus_sched.errors import InvalidInput, QueueFull, StoreUnreachable
from nexus_sched.model.outcome import Reason
from nexus_sched.runtime.ports import CommitPlan, EndLine, Lease, Redrive
from tests.unit.client.bench import FaultySubmitterStore

LOST = StoreUnreachable("reply lost")


def bury(shard, task_id: str, reason: Reason = Reason.WORKER_KILLER) -> None:
    lease = shard.acquire("me", "n", None)
    assert isinstance(lease, Lease)
    queued = [entry for entry, fields in shard.streams["q:5"].after((0, 0), 1_000) if fields[1] == task_id.encode()]
    removals = {"q:5": [f"{first}-{second}" for first, second in queued]}
    ends = [EndLine(True, task_id, 1, reason, "w", "")]
    shard.commit(lease, lease.seq, CommitPlan(b"turn", {}, removals, [], ends, [], []), publish=False)


async def test_dead_letters_are_found_by_reason_and_type(shard, store):
    async with AsyncClient(store=store) as client:
        for number, reason in enumerate((Reason.WORKER_KILLER, Reason.DEADLINE, Reason.WORKER_KILLER)):
            await client.submit(f"type.{number}", number, task_id=str(number))
            bury(shard, str(number), reason)
        bury(shard, "", Reason.MALFORMED)
        found = await client.dead_letters()
        assert [letter.task_id for letter in found] == ["0", "1", "2", ""]
        assert [letter.task_id for letter in await client.dead_letters(reason="worker-killer")] == ["0", "2"]
        assert [letter.task_id for letter in await client.dead_letters(task_type="type.2")] == ["2"]
        assert len(await client.dead_letters(2)) == 2


async def test_redrive_queues_once_although_replies_are_lost(shard, store):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("add", 1, 2)
        bury(shard, handle.id)
        assert await handle.state() == "dead"
        answers = await client.redrive(await client.dead_letters(), "mended", "ada")
        assert answers == [Redrive.QUEUED]
        assert (await handle.state(), await client.dead_letters(), len(shard.streams["q:5"])) == ("queued", [], 1)


async def test_redrive_is_sent_again_after_a_lost_reply(shard, store, monkeypatch):
    answered, losses = store.redrive, [LOST]

    async def lossy(*arguments):
        answers = await answered(*arguments)
        if losses:
            raise losses.pop()
        return answers

    async with AsyncClient(store=store) as client:
        handle = await client.submit("add")
        bury(shard, handle.id)
        letters = await client.dead_letters()
        monkeypatch.setattr(store, "redrive", lossy)
        assert await client.redrive(letters, "mended") == [Redrive.REPEATED]
        assert len(shard.streams["q:5"]) == 1


async def test_changes_without_a_reason_are_refused(store):
    async with AsyncClient(store=store) as client:
        for reason in ("  ", "x" * 501):
            for act in (client.redrive, client.purge):
                with pytest.raises(InvalidInput, match="reason"):
                    await act([], reason)


async def test_envelope_is_taken_apart(store):
    async with AsyncClient(store=store) as client:
        handle = await client.submit("a.b", 7)
        envelope = await store.payload(handle.id)
        assert spec_of(envelope).type == "a.b"
        assert payload_of(envelope) == submission("a.b", 7).line.payload
        assert await store.payload(handle.id, 4) == envelope[:4]
        assert await store.payload("nobody") is None
    assert spec_of(b"\x00\x00\x00\x01\xff") is None


async def test_full_queue_tells_the_predicted_time(shard):
    store = FaultySubmitterStore(shard, length_max=10)
    async with AsyncClient(store=store) as client:
        await client.submit_many([submission("add") for _ in range(10)])
        for drain_tasks_s, expected_ms in ((0.0, RETRY_AFTER_MS), (4.0, 250)):
            await MemoryLeaderStore(shard).write_frame(b"", drain_tasks_s)
            with pytest.raises(QueueFull) as one:
                await client.submit("add")
            assert one.value.retry_after_ms == expected_ms
        with pytest.raises(BatchRefused) as many:
            await client.submit_many([submission("add") for _ in range(20)])
        assert many.value.retry_after_ms == 5_000


def test_client_without_asyncio_does_the_same(shard, store):
    with Client(store=store) as client:
        handle = client.submit("add", task_id="a")
        client.submit("add", task_id="b")
        client._loop.call(_in_loop(bury, shard, "a"))
        client._loop.call(_in_loop(bury, shard, "b"))
        first, second = client.dead_letters()
        assert client.redrive([first], "mended", "ada") == [Redrive.QUEUED]
        assert client.purge([second, second], "old") == [True, False]
        assert (handle.state(), client.dead_letters()) == ("queued", [])


async def _in_loop(call, *args):
    call(*args)
