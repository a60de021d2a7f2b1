"""A submitter's store over three shards: every task in the shard of its id, and everything found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from nexus_sched.errors import Fenced, InvalidInput
from nexus_sched.model.command import AddOverride, Ask, CancelTask, CordonWorker, SetMode, encode_command
from nexus_sched.model.events import OverrideAdded
from nexus_sched.model.frame import Frame, Spread, decode_frame, encode_frame
from nexus_sched.model.outcome import Acceptance, Reason
from nexus_sched.model.question import AskEta, AskWorker
from nexus_sched.model.worker import PackedReport, WorkerOffer, WorkerReport
from nexus_sched.runtime.pool_ports import PoolShards
from nexus_sched.runtime.ports import (
    AnswerLine,
    CommitPlan,
    EndLine,
    LeaderStore,
    Lease,
    LetterKey,
    Redrive,
    SubmitLine,
    SubmitterStore,
)
from nexus_sched.sharding import moves
from nexus_sched.sharding.hashing import shard_of
from nexus_sched.sharding.reporter import PoolReporterStore
from nexus_sched.sharding.submitter import PoolSubmitterStore
from nexus_sched.sharding.worker import PoolUnsettled, PoolWorkerStore
from nexus_sched.testing.stores import MemoryFactory, RedisFactory

COUNT = 3
IDS = [f"task-{number}" for number in range(24)]
Factory = MemoryFactory | RedisFactory


def lines(ids: Sequence[str]) -> list[SubmitLine]:
    return [SubmitLine(task_id, 5, b"spec", b"payload") for task_id in ids]


def pooled(factory: Factory, wanted: int | None = COUNT) -> PoolSubmitterStore:
    def of_shard(shard: int, count: int) -> SubmitterStore:
        assert count in (1, COUNT)
        return factory.submitter(length_max=100, shard=shard)

    return PoolSubmitterStore(factory.pool(), of_shard, wanted)


@asynccontextmanager
async def opened(factory: Factory, wanted: int | None = COUNT) -> AsyncIterator[PoolSubmitterStore]:
    store = pooled(factory, wanted)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def leaders(factory: Factory) -> AsyncIterator[list[tuple[LeaderStore, Lease]]]:
    found: list[tuple[LeaderStore, Lease]] = []
    try:
        for number in range(COUNT):
            store = factory.leader(number)
            await store.open()
            lease = await store.acquire("leader", "nonce", None)
            assert isinstance(lease, Lease)
            found.append((store, lease))
        yield found
    finally:
        for store, _ in found:
            await store.close()


def plan(**parts: object) -> CommitPlan:
    made = CommitPlan(b"turn", {}, {}, [], [], [], [])
    for name, value in parts.items():
        setattr(made, name, value)
    return made


async def queued(leader: LeaderStore) -> list[str]:
    batch = await leader.read({"q:5": "0-0"}, 100, 0)
    return [entry[1][1].decode() for _, entries in batch for entry in entries]


async def told(leader: LeaderStore) -> int:
    return sum(len(entries) for _, entries in await leader.read({"cmd": "0-0"}, 100, 0))


async def test_pool_every_task_is_in_the_shard_of_its_id(factory: Factory) -> None:
    async with opened(factory) as store, opened(factory, None) as other, leaders(factory) as led:
        assert await store.submit(lines(IDS), "") == [Acceptance.ACCEPTED] * len(IDS)
        for number, (leader, _) in enumerate(led):
            assert await queued(leader) == [task_id for task_id in IDS if shard_of(task_id, COUNT) == number]
        again = [*IDS[:4], "new", IDS[5]]
        answers = await other.submit(lines(again), "")
        assert [answer is Acceptance.ACCEPTED for answer in answers] == [False] * 4 + [True, False]
        for task_id in IDS:
            record = await other.record(task_id)
            assert record is not None
            assert record.state == "Q"
            assert await other.payload(task_id) is not None
        assert await other.record("nobody") is None
        assert len(await other.each_shard()) == COUNT


async def test_pool_what_was_submitted_before_its_shards_were_settled_is_found_and_recognised(factory: Factory) -> None:
    async with opened(factory, None) as early:
        assert set(await early.submit(lines(IDS), "")) == {Acceptance.ACCEPTED}
        async with opened(factory) as store, leaders(factory) as led:
            assert len(await queued(led[0][0])) == len(IDS)
            assert await store.submit(lines(IDS), "") == [Acceptance.DUPLICATE] * len(IDS)
            assert await early.submit(lines(["late-1", "late-2", "late-3"]), "") == [Acceptance.ACCEPTED] * 3
            assert len(await queued(led[0][0])) < len(IDS) + 3
            for task_id in (*IDS, "late-1", "late-2", "late-3"):
                for each in (early, store):
                    assert await each.record(task_id) is not None
        pool = factory.pool()
        await pool.open()
        assert await pool.shards() == PoolShards(COUNT, early=True)
        await pool.close()


async def test_pool_commands_go_to_whom_they_concern(factory: Factory) -> None:
    async with opened(factory) as store, leaders(factory) as led:
        pool = factory.pool()
        await pool.open()
        shard = await pool.place("w", 1, [1])
        await store.command(encode_command(SetMode("predictive")))
        assert [await told(leader) for leader, _ in led] == [1, 1, 1]
        home = shard_of("task-1", COUNT)
        await store.command(encode_command(CancelTask("task-1")))
        assert [await told(leader) for leader, _ in led] == [1 + (number == home) for number in range(COUNT)]
        await store.command(encode_command(AddOverride("pin", 1_000, "why", task_type="a", target="w")))
        await store.command(encode_command(AddOverride("pin", 1_000, "why", task_id="task-1", target="w")))
        assert [await told(leader) for leader, _ in led] == [2 + 2 * (number == home) for number in range(COUNT)]
        before = [await told(leader) for leader, _ in led]
        await store.command(encode_command(CordonWorker("w", False, "why")))
        await store.command(encode_command(CordonWorker("stranger", False, "why")))
        after = [await told(leader) for leader, _ in led]
        assert [now - then for now, then in zip(after, before, strict=True)] == [1 + (n == shard) for n in range(COUNT)]
        await pool.close()


async def test_pool_question_is_answered_where_it_was_asked(factory: Factory) -> None:
    async with opened(factory) as store, leaders(factory) as led:
        pool = factory.pool()
        await pool.open()
        await pool.place("w", 1, [2])
        for reply, question, shard in (
            ("one", AskEta("task-1"), shard_of("task-1", COUNT)),
            ("two", AskWorker("w"), 2),
            ("three", AskWorker("stranger"), 0),
        ):
            await store.command(encode_command(Ask(reply, question)))
            leader, lease = led[shard]
            seq = await leader.sequence()
            await leader.commit(lease, seq or 0, plan(answers=[AnswerLine(reply, b"{}")]))
            assert await store.answer(reply, 2_000) == b"{}"
        await pool.close()


async def test_pool_dead_letters_are_one_list(factory: Factory) -> None:
    ids = IDS[:9]
    async with opened(factory) as store, leaders(factory) as led:
        await store.submit(lines(ids), "")
        for number, (leader, lease) in enumerate(led):
            own = [task_id for task_id in ids if shard_of(task_id, COUNT) == number]
            ends = [EndLine(True, task_id, 1, Reason.WORKER_LOST, "w", "") for task_id in own]
            stray = EndLine(True, "", 0, Reason.MALFORMED, "", "bad")
            found = await leader.read({"q:5": "0-0"}, 100, 0)
            removals = {"q:5": [entry[0].decode() for _, entries in found for entry in entries]}
            await leader.commit(lease, 0, plan(ends=[*ends, stray], removals=removals))
        letters, after = [], "0-0"
        while page := await store.dead_letters(after, 2):
            letters += page
            after = page[-1].entry
        assert sorted(letter.task_id for letter in letters) == sorted([*ids, "", "", ""])
        of_tasks = [letter.key for letter in letters if letter.task_id]
        assert await store.redrive([*of_tasks[:4], LetterKey("1-1", ids[0])], "again", "me") == [
            *[Redrive.QUEUED] * 4,
            Redrive.GONE,
        ]
        removed = await store.purge([*of_tasks, *(letter.key for letter in letters if not letter.task_id)], "old", "me")
        assert removed.count(False) == 4
        assert await store.dead_letters("0-0", 100) == []
        assert {operation.kind for operation in await store.operations(10)} == {"redrive", "purge"}


def frame(shard: int, **facts: object) -> Frame:
    given: dict[str, object] = {
        "pool": "p",
        "shard": shard,
        "owner": f"o{shard}",
        "epoch": 1,
        "seq": 10,
        "at_ms": 1_000 + shard,
        "mode": "predictive",
        "predictor": "learned",
        "breaker": "closed",
        "queued": shard,
        "in_flight": 1,
        "queued_predicted_ms": 5.0,
        "workers_live": 2,
        "workers_accepting": 2,
        "counters": {"dispatched": 3},
        "decision_us": Spread(10.0, 20.0 + shard, 5),
        "turn_us": Spread(),
        "predictions": 10,
        "workers": [],
        "predictions_within_25": 0.5 + shard / 10,
    }
    return msgspec.convert({**given, **facts}, Frame)


async def test_pool_pictures_of_all_shards_are_one(factory: Factory) -> None:
    async with opened(factory) as store, leaders(factory) as led:
        assert await store.frame() is None
        await led[1][0].write_frame(encode_frame(frame(1)))
        assert decode_frame(await store.frame() or b"") == frame(1)
        await led[0][0].write_frame(encode_frame(frame(0, breaker="open")))
        await led[2][0].write_frame(encode_frame(frame(2, breaker="half-open")))
        merged = decode_frame(await store.frame() or b"")
        assert (merged.queued, merged.workers_live, merged.counters, merged.seq) == (3, 6, {"dispatched": 9}, 30)
        assert (merged.owner, merged.mode, merged.breaker, merged.at_ms) == ("o0, o1, o2", "predictive", "open", 1_000)
        assert merged.decision_us == Spread(10.0, 22.0, 15)
        assert merged.predictions_within_25 == pytest.approx(0.6)


async def test_pool_overrides_are_those_in_force_in_all_shards_and_those_of_single_tasks(factory: Factory) -> None:
    everywhere = [OverrideAdded("type", "a", "avoid", "w1", 0, until_ms, "why", "") for until_ms in (70, 50, 60)]
    here = [OverrideAdded("type", "b", "pin", "w1", 0, 90, "why", "")]
    own = [OverrideAdded("task", "t1", "priority", "", 2, 80, "why", "")]
    async with opened(factory) as store, leaders(factory) as led:
        for number, more in enumerate(([], here, own)):
            painted = frame(number, overrides=[everywhere[number], *more])
            await led[number][0].write_frame(encode_frame(painted))
        merged = decode_frame(await store.frame() or b"")
        assert merged.overrides == [everywhere[1], *own]


async def test_pool_journal_has_to_be_one_shard_s(factory: Factory) -> None:
    async with opened(factory) as store, leaders(factory) as led:
        with pytest.raises(InvalidInput, match="name one of them"):
            await store.journal(0, 1)
        await led[0][0].commit(led[0][1], 0, plan())
        assert await (await store.each_shard())[0].journal(0, 1) == [(1, b"turn")]


async def test_pool_ends_of_all_shards_are_announced_on_one_channel(factory: Factory) -> None:
    async with opened(factory) as store, leaders(factory) as led:
        await store.subscribed("me")
        await store.submit(lines(IDS[:6]), "me")
        for number, (leader, lease) in enumerate(led):
            own = [task_id for task_id in IDS[:6] if shard_of(task_id, COUNT) == number]
            await leader.commit(
                lease, 0, plan(ends=[EndLine(False, each, 0, Reason.CANCELLED, "", "") for each in own])
            )
        announced = store.ended("me")
        assert sorted([(await anext(announced)).task_id for _ in range(6)]) == IDS[:6]


async def workers_of(factory: Factory, count: int) -> tuple[PoolWorkerStore, list[tuple[str, int]]]:
    """A gateway's store of workers over a pool of three shards, and as many workers that registered by it."""

    store = PoolWorkerStore(factory.pool(), factory.worker, never, wanted=COUNT)
    names = [f"w-{number}" for number in range(count)]
    offer = msgspec.msgpack.encode(WorkerOffer(slots=2))
    return store, [(name, await store.register(name, offer)) for name in names]


async def test_pool_workers_spread_over_its_shards_and_are_found_by_whoever_asks(factory: Factory) -> None:
    async with leaders(factory) as led:
        store, workers = await workers_of(factory, 6)
        assert [len(await leader.heartbeats()) for leader, _ in led] == [2, 2, 2]
        other = PoolWorkerStore(factory.pool(), factory.worker, never)
        for name, incarnation in workers:
            assert (await other.step(name, incarnation, b"", [], [])).receipts == []
            assert await store.read_inbox(name, "0-0", 1, 0) == []
        with pytest.raises(Fenced, match="no place"):
            await other.step("stranger", 1, b"", [], [])
        before = [set(await leader.heartbeats()) for leader, _ in led]
        name, incarnation = workers[0]
        assert await other.register(name, b"") == incarnation + 1
        assert [set(await leader.heartbeats()) for leader, _ in led] == before
        await store.leave(*workers[1])
        pool = factory.pool()
        await pool.open()
        assert set(await pool.placements()) == {name for name, _ in workers} - {workers[1][0]}
        for each in (store, other, pool):
            await each.close()


async def test_pool_workers_wait_for_a_scheduler_where_nobody_knows_the_number(factory: Factory) -> None:
    store = PoolWorkerStore(factory.pool(), factory.worker, never)
    with pytest.raises(PoolUnsettled, match="nexus-sched run"):
        await store.open()
    pool = factory.pool()
    await pool.open()
    await pool.settle(COUNT)
    await store.open()
    assert await store.register("w", b"") == 1
    for each in (store, pool):
        await each.close()


async def test_pool_worker_that_a_shard_sends_for_moves_there(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "LOOK_EVERY_S", 0.02)
    async with leaders(factory) as led:
        store, [(name, incarnation)] = await workers_of(factory, 1)
        pool = factory.pool()
        await pool.open()
        at = (await pool.placements())[name]
        wanted = (at.shard + 1) % COUNT
        await pool.place(name, at.slots, [wanted], wanted)
        with pytest.raises(Fenced, match=f"moves to shard {wanted}"):
            for _ in range(500):
                await store.step(name, incarnation, b"", [], [])
                await asyncio.sleep(0.01)
        await store.register(name, msgspec.msgpack.encode(WorkerOffer(slots=2)))
        assert [set(await leader.heartbeats()) for leader, _ in led] == [
            {name} if number == wanted else set() for number in range(COUNT)
        ]
        for each in (store, pool):
            await each.close()


async def test_pool_workers_hear_of_shards_that_are_settled_while_they_ask(factory: Factory) -> None:
    async with leaders(factory):

        async def was_led() -> bool:
            pool = factory.pool()
            await pool.open()
            await pool.settle(COUNT)
            await pool.close()
            return True

        store = PoolWorkerStore(factory.pool(), factory.worker, was_led)
        offer = msgspec.msgpack.encode(WorkerOffer(slots=2))
        for number in range(COUNT):
            await store.register(f"w-{number}", offer)
        pool = factory.pool()
        await pool.open()
        assert sorted(at.shard for at in (await pool.placements()).values()) == list(range(COUNT))
        for each in (store, pool):
            await each.close()


async def test_pool_reports_for_many_reach_each_worker_s_shard(factory: Factory) -> None:
    async with leaders(factory) as led:
        store, workers = await workers_of(factory, 6)
        reporter = PoolReporterStore(factory.pool(), factory.reporter)
        said = [PackedReport(name, incarnation, WorkerReport(queued=7)) for name, incarnation in workers[:4]]
        before = [await leader.heartbeats() for leader, _ in led]
        asked = [*workers, ("stranger", 1), (workers[0][0], 99)]
        assert await reporter.report(asked, msgspec.msgpack.encode(said)) == [True] * 6 + [False, False]
        heard: list[str] = []
        for (leader, _), counters in zip(led, before, strict=True):
            after = await leader.heartbeats()
            assert all(after[name] == beat + 1 for name, beat in counters.items())
            for _, entries in await leader.read({"rep": "0-0"}, 100, 0):
                packs = [entry[1][3] for entry in entries if entry[1][1] == b"pack"]
                heard += [each[0] for pack in packs for each in msgspec.msgpack.decode(pack) if each[0] in counters]
        assert sorted(heard) == [name for name, _ in workers[:4]]
        for each in (store, reporter):
            await each.close()


async def never() -> bool:
    return False
