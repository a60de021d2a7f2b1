"""Work through the door: nobody starts, reads or ends what was not given to them, and calls are bounded."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from nexus_sched.adapters.grpc import GatewayAccess, GrpcWorkerStore
from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import InvalidInput, StoreUnreachable
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.grpc.calls import SILENT_S_MIN
from nexus_sched.gateway.grpc.part import GrpcPart
from nexus_sched.gateway.grpc.proofs import before, is_entry
from nexus_sched.model.outcome import Outcome, Receipt
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import FETCH, REGISTER, STEP
from nexus_sched.runtime.ports import CompletionLine, StartLine
from nexus_sched.testing.conformance import Stage
from nexus_sched.testing.gateways import GatewayFactory, grpc_door, stores_of
from nexus_sched.testing.stores import MemoryFactory
from tests.unit.gateway.grpc.bench import Caller, code_of


async def test_worker_cannot_start_read_or_end_a_task_of_another():
    behind = MemoryFactory()
    async with grpc_door(behind) as door, Stage(GatewayFactory(behind, door.target)) as stage:
        await stage.lead()
        mine, other = await stage.worker.register("mine", b""), await stage.worker.register("other", b"")
        await stage.submit("queued", "placed", payload=b"secret")
        entry = await stage.dispatch("placed", "mine")
        for task_id, attempt, said in (("queued", 1, "1-0"), ("placed", 1, entry), ("placed", 2, entry)):
            assert await stage.start("other", other, task_id, said, attempt) is None
            assert await stage.complete("other", other, task_id, said, attempt, result=b"forged") is Receipt.STALE
        assert [await stage.state(task_id) for task_id in ("queued", "placed")] == ["Q", "Q"]
        assert await stage.start("mine", mine, "placed", entry) is not None
        assert await stage.complete("other", other, "placed", entry, result=b"forged") is Receipt.STALE
        assert await stage.complete("mine", mine, "placed", entry, result=b"true") is Receipt.ACCEPTED
        assert await stage.submitter.result("placed") == b"true"


async def test_proof_outlives_the_entry_and_a_gateway_that_never_saw_it_looks_it_up():
    behind = MemoryFactory()
    async with grpc_door(behind) as door, Stage(GatewayFactory(behind, door.target)) as stage:
        await stage.lead()
        incarnation = await stage.worker.register("w", b"")
        await stage.submit("a", "b")
        first, second = await stage.dispatch("a", "w"), await stage.dispatch("b", "w")
        assert await stage.start("w", incarnation, "a", first)
        async with grpc_door(behind) as another:
            store = GrpcWorkerStore(GatewayAccess(target=another.target))
            await store.open()
            lines = [CompletionLine("a", 1, first, True, Outcome.SUCCEEDED, b"", b"")]
            reply = await store.step("w", incarnation, b"", lines, [StartLine("b", 1, second)])
            assert (reply.receipts, [each is not None for each in reply.envelopes]) == ([Receipt.ACCEPTED], [True])
            assert (await store.step("w", incarnation, b"", lines, [])).receipts == [Receipt.REPEATED]
            await store.close()
        assert await stage.complete("w", incarnation, "a", first) is Receipt.REPEATED


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (REGISTER, {"worker": "no such name!"}),
        (REGISTER, {"worker": "w", "offer": bytes(20_000)}),
        (FETCH, {"worker": "w", "after": "x"}),
        (FETCH, {"worker": "w", "count": 1_001}),
        (FETCH, {"worker": "w", "wait_ms": 30_001}),
        (STEP, {"worker": "w", "report": bytes(20_000)}),
        (STEP, {"worker": "w", "starts": [{"task_id": "no such id!"}]}),
        (STEP, {"worker": "w", "starts": [{"task_id": "t", "attempt": 2_000_000}]}),
        (STEP, {"worker": "w", "starts": [{"task_id": "t"}] * 257}),
        (STEP, {"worker": "w", "completions": [{"task_id": "t"}]}),
        (
            STEP,
            {
                "worker": "w",
                "completions": [{"task_id": "t", "outcome": "RUN_OUTCOME_FAILED", "result": bytes(2**24 + 1)}],
            },
        ),
    ],
)
async def test_call_that_breaks_a_bound_is_refused(path: str, fields: dict):
    behind = MemoryFactory()
    async with grpc_door(behind) as door, grpc.aio.insecure_channel(door.target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await Caller(channel).call(path, **fields)
        assert (raised.value.code(), code_of(raised.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
        assert behind.shard.workers == {}


async def test_message_that_is_too_large_is_refused_before_it_is_read():
    section = GrpcSection(message_bytes_max=65_536)
    async with grpc_door(MemoryFactory(), section) as door, grpc.aio.insecure_channel(door.target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await Caller(channel).call(REGISTER, worker="w", offer=bytes(100_000))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_have_a_bound_and_an_end():
    behind = MemoryFactory()
    section = GrpcSection(calls_max=2, call_timeout_ms=300)
    async with grpc_door(behind, section) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        waiting = [asyncio.create_task(caller.call(FETCH, worker="w", wait_ms=30_000)) for _ in range(2)]
        while door.service.calls.inside < 2:
            await asyncio.sleep(0.005)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.call(REGISTER, worker="w")
        assert (raised.value.code(), code_of(raised.value)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "NO_ROOM")
        for answer in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5.0):
            late = isinstance(answer, grpc.aio.AioRpcError) and answer.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert late or answer == messages.FetchResponse()
        assert door.service.calls.inside == 0


async def test_who_hangs_up_while_waiting_leaves_nothing_behind():
    behind = MemoryFactory()
    async with grpc_door(behind) as door, grpc.aio.insecure_channel(door.target) as channel:
        waiting = asyncio.create_task(Caller(channel).call(FETCH, worker="w", wait_ms=30_000, timeout=30.0))
        while door.service.calls.inside < 1:
            await asyncio.sleep(0.005)
        waiting.cancel()
        for _ in range(200):
            if door.service.calls.inside == 0:
                break
            await asyncio.sleep(0.01)
        assert door.service.calls.inside == 0


async def test_gateway_that_is_away_is_a_store_that_is_away():
    async with grpc_door(MemoryFactory()) as door:
        target = door.target
        store = GrpcWorkerStore(GatewayAccess(target=target), timeout_ms=500)
        with pytest.raises(StoreUnreachable, match="closed"):
            await store.register("w", b"")
        await store.open()
        assert await store.register("w", b"") == 1
        with pytest.raises(InvalidInput):
            await store.register("no such name!", b"")
    with pytest.raises(StoreUnreachable, match=target):
        await store.register("w", b"")
    await store.close()


def test_entry_before_an_entry():
    assert [before(entry) for entry in ("5-3", "5-0", "0-0")] == ["5-2", f"4-{2**64 - 1}", "0-0"]
    assert is_entry(f"{2**64 - 1}-{2**64 - 1}")
    for text in (
        "",
        "5",
        "-",
        "5-",
        "-5",
        "a-1",
        "1-a",
        "1-2-3",
        " 1-1",
        f"{2**64}-0",
        "9" * 30 + "-0",
        "\u0661-\u0661",
    ):
        assert not is_entry(text)


async def test_call_is_for_the_pool_that_it_names():
    red, blue = MemoryFactory(), MemoryFactory()
    part = GrpcPart(
        GrpcSection(port=0),
        Authority(None, insecure_no_auth=True),
        {"red": stores_of(red), "blue": stores_of(blue)},
        None,
    )
    await part.start()
    try:
        async with grpc.aio.insecure_channel(part.target) as channel:
            await Caller(channel, pool="blue").call(REGISTER, worker="w")
            assert (list(red.shard.workers), list(blue.shard.workers)) == ([], ["w"])
            for caller in (Caller(channel), Caller(channel, pool="green")):
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await caller.call(REGISTER, worker="w")
                assert (raised.value.code(), code_of(raised.value)) == (grpc.StatusCode.NOT_FOUND, "POOL_UNKNOWN")
                assert "blue, red" in str(raised.value.details())
    finally:
        await part.stop()


async def test_call_that_says_nothing_makes_room_for_one_that_does():
    behind = MemoryFactory()
    async with grpc_door(behind, GrpcSection(calls_max=2)) as door, grpc.aio.insecure_channel(door.target) as channel:
        open_call = channel.stream_unary(REGISTER)  # the same to the transport, and nothing has to be said at once
        silent = [open_call() for _ in range(2)]
        while door.service.calls.inside < 2:
            await asyncio.sleep(0.005)
        await asyncio.sleep(1.5 * SILENT_S_MIN)
        caller = Caller(channel)
        assert (await caller.call(REGISTER, worker="w")).incarnation == 1
        while not any(call.done() for call in silent):
            await asyncio.sleep(0.005)
        waiting = asyncio.create_task(caller.call(FETCH, worker="w", wait_ms=30_000))
        while door.service.calls.inside < 2:
            await asyncio.sleep(0.005)
        assert (await caller.call(REGISTER, worker="w")).incarnation == 2  # the other silent one had to go
        assert [await call.code() for call in silent] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
        assert door.service.calls.inside == 1
        waiting.cancel()
