"""Capacity by gRPC: who lives by it, what the scheduler hears of it, and what is refused."""

from __future__ import annotations

import asyncio

import grpc
import msgspec
import pytest

from nexus_sched.adapters.memory import MemoryReporterStore, MemoryShard
from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import StoreUnreachable
from nexus_sched.gateway.grpc.reports import NEWS_EVERY_S, Reports, array_of
from nexus_sched.model.events import WorkerJoined, WorkerReported
from nexus_sched.model.worker import WorkerReport
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.runtime.inputs import events_of
from nexus_sched.runtime.ports import REPORT_WORKERS_MAX
from nexus_sched.testing.gateways import POOL, grpc_door
from nexus_sched.testing.stores import MemoryFactory
from tests.unit.gateway.grpc.bench import Caller, capacity, code_of

ACCEPTED, FENCED, REFUSED = (
    messages.REPORT_STATUS_ACCEPTED,
    messages.REPORT_STATUS_FENCED,
    messages.REPORT_STATUS_REFUSED,
)


def heard(shard: MemoryShard):
    """What the scheduler would read of all that was reported."""
    entries = [
        [f"{entry[0]}-{entry[1]}".encode(), fields] for entry, fields in shard.streams["rep"].after((0, 0), 10_000)
    ]
    return events_of("rep", entries)


async def test_worker_that_only_reports_registers_lives_and_is_given_time():
    behind = MemoryFactory()
    async with grpc_door(behind) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        stream = caller.stream()
        offer = {"slots": 4, "labels": {"zone": "a"}, "resources": {"gpu": 1.0}, "worker_class": "big"}
        (first,) = await caller.say(stream, capacity("w1", cpu=0.52, memory=0.5, running=1, queue_depth=2, offer=offer))
        assert (first.worker, first.status, first.incarnation) == ("w1", ACCEPTED, 1)
        joined, reported = heard(behind.shard)
        assert joined == WorkerJoined("w1", 1, 4, "big", {"zone": "a"}, (), {"gpu": 1.0}, 30_000)
        assert isinstance(reported, WorkerReported)
        assert (reported.cpu, reported.memory, reported.running, reported.queued) == (0.5, 0.5, 1, 2)
        beats = dict(behind.shard.beats)
        (again,) = await caller.say(stream, capacity("w1", 1, cpu=0.51, memory=0.5, running=1, queue_depth=2))
        assert again.status == ACCEPTED
        assert behind.shard.beats["w1"] > beats["w1"]
        assert len(heard(behind.shard)) == 2  # nothing new was said
        await caller.say(stream, capacity("w1", 1, draining=True))
        assert heard(behind.shard)[-1] == WorkerReported("w1", 1, True, 0, 0)
        await stream.done_writing()


async def test_reports_of_many_workers_are_written_together_and_answered_in_order():
    behind = MemoryFactory()
    section = GrpcSection(pack_interval_ms=40)
    async with grpc_door(behind, section) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        streams = [caller.stream() for _ in range(8)]
        names = [f"w{number}" for number in range(8)]
        await asyncio.gather(*(caller.say(s, capacity(w)) for s, w in zip(streams, names, strict=True)))
        packs = door.pools.doors[POOL].reports.packs
        answers = await asyncio.gather(
            *(caller.say(s, capacity(w, 1, draining=True)) for s, w in zip(streams, names, strict=True))
        )
        assert [receipt.worker for (receipt,) in answers] == names
        assert door.pools.doors[POOL].reports.packs - packs <= 3
        many = await caller.say(streams[0], *(capacity(w, 1) for w in names))
        assert [(receipt.worker, receipt.status) for receipt in many] == [(w, ACCEPTED) for w in names]


async def test_bad_report_is_refused_and_loses_nothing_else():
    behind = MemoryFactory()
    async with grpc_door(behind) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        stream = caller.stream()
        hostile = [
            capacity("no such name!"),
            capacity("w2", cpu=1.5),
            capacity("w3", memory=float("nan")),
            capacity("w4", offer={"slots": 1_000_000}),
            capacity("w5", offer={"labels": {"no such label!": "a"}}),
            capacity("w6", network_bytes_per_second=-1.0),
            messages.WorkerCapacity(worker="w7"),  # no offer
        ]
        receipts = await caller.say(stream, capacity("w1"), *hostile, capacity("w9"))
        assert [receipt.status for receipt in receipts] == [ACCEPTED, *[REFUSED] * len(hostile), ACCEPTED]
        assert all(receipt.detail for receipt in receipts[1:-1])
        assert set(behind.shard.workers) == {"w1", "w9"}
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.say(stream, *(capacity(f"w{number}") for number in range(1_001)))
        assert (raised.value.code(), code_of(raised.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


async def test_former_incarnation_is_told_to_register_again():
    behind = MemoryFactory()
    async with grpc_door(behind) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        stream = caller.stream()
        await caller.say(stream, capacity("w1"))
        behind.shard.register("w1", b"")
        (receipt,) = await caller.say(stream, capacity("w1", 1))
        assert (receipt.status, receipt.incarnation) == (FENCED, 1)
        (receipt,) = await caller.say(stream, capacity("w1"))
        assert (receipt.status, receipt.incarnation) == (ACCEPTED, 3)


async def test_labels_and_resources_may_change_while_a_worker_lives():
    behind = MemoryFactory()
    async with grpc_door(behind) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        stream = caller.stream()
        await caller.say(stream, capacity("w1"))
        await caller.say(stream, capacity("w1", 1, offer={"labels": {"zone": "b"}, "resources": {"gpu": 2.0}}))
        event = heard(behind.shard)[-1]
        assert isinstance(event, WorkerReported)
        assert (event.labels, event.resources) == ({"zone": "b"}, {"gpu": 2.0})


async def test_streams_have_a_bound_and_silent_ones_end():
    behind = MemoryFactory()
    section = GrpcSection(pack_interval_ms=1, streams_max=2, heartbeat_timeout_ms=1_000)
    async with grpc_door(behind, section) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        streams = [caller.stream() for _ in range(2)]
        await caller.say(streams[0], capacity("w0"))
        await caller.say(streams[1], capacity("w1"))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await caller.say(caller.stream(), capacity("w2"))
        assert (raised.value.code(), code_of(raised.value)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "NO_ROOM")
        await caller.say(streams[0])  # nothing is said as well
        for stream in streams:
            assert await asyncio.wait_for(stream.code(), 5.0) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (door.service.streams.inside, door.service.streams.refused) == (0, 1)


class Broken(MemoryReporterStore):
    """A store that answers nothing but errors."""

    async def report(self, workers, pack):
        await asyncio.sleep(0)
        raise StoreUnreachable("gone")


async def test_store_that_is_away_is_told_to_whoever_reports():
    reports = Reports(Broken(MemoryShard()), 0.001, lambda: 0.0)
    running = asyncio.create_task(reports.run())
    with pytest.raises(StoreUnreachable):
        await reports.take("w1", 1, WorkerReport())
    with pytest.raises(StoreUnreachable):
        await reports.take("w1", 1, WorkerReport())  # and it goes on
    running.cancel()


class Recording(MemoryReporterStore):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(MemoryShard())
        self.calls: list[tuple[int, list]] = []

    async def report(self, workers, pack):
        self.calls.append((len(workers), msgspec.msgpack.decode(pack) if pack else []))
        await asyncio.sleep(0)
        return [True] * len(workers)


async def test_news_of_a_worker_comes_at_most_every_few_seconds():
    now_s, store = 0.0, Recording()
    reports = Reports(store, 0.001, lambda: now_s)
    running = asyncio.create_task(reports.run())
    for number in range(11):
        await reports.take("w1", 1, WorkerReport(running=number))
        now_s += NEWS_EVERY_S / 5
    told = [document["running"] for _, pack in store.calls for _, _, document in pack if document]
    assert told == [5, 10]  # the first one said nothing but the defaults
    await reports.take("w1", 1, WorkerReport(running=10, draining=True))  # no waiting with that
    assert store.calls[-1][1] == [["w1", 1, {"draining": True, "running": 10}]]
    await reports.take("w1", 2, WorkerReport(running=10, draining=True))  # nor with a new incarnation's first words
    assert store.calls[-1][1] == [["w1", 2, {"draining": True, "running": 10}]]
    running.cancel()


async def test_large_gathering_is_split_by_workers_and_by_bytes():
    store = Recording()
    reports = Reports(store, 0.01, lambda: 0.0)
    running = asyncio.create_task(reports.run())
    labels = {f"label-{number}": "x" * 100 for number in range(60)}
    await asyncio.gather(
        *(reports.take(f"w{number}", 1, WorkerReport()) for number in range(600)),
        *(reports.take(f"v{number}", 1, WorkerReport(labels=labels)) for number in range(5)),
    )
    assert sum(workers for workers, _ in store.calls) == 605
    assert max(workers for workers, _ in store.calls) <= REPORT_WORKERS_MAX
    assert max(len(msgspec.msgpack.encode(pack)) for _, pack in store.calls) <= 16_384
    assert sum(len(pack) for _, pack in store.calls) == 605
    running.cancel()


async def test_two_reports_in_one_interval_are_one_and_keep_what_has_changed():
    store = Recording()
    reports = Reports(store, 0.02, lambda: 0.0)
    running = asyncio.create_task(reports.run())
    taken = [
        reports.take("w1", 1, WorkerReport(labels={"zone": "b"})),
        reports.take("w1", 1, WorkerReport(running=3)),
    ]
    assert await asyncio.gather(*taken) == [True, True]
    assert store.calls == [(1, [["w1", 1, {"running": 3, "labels": {"zone": "b"}}]])]
    running.cancel()


@pytest.mark.parametrize("count", [0, 1, 15, 16, 300])
def test_array_of_encoded_documents_is_their_array(count: int):
    documents = [msgspec.msgpack.encode({"n": number}) for number in range(count)]
    packed = array_of(documents)
    assert packed == (msgspec.msgpack.encode([{"n": number} for number in range(count)]) if count else b"")
