"""A whole scheduler on the ports in memory, in virtual time: hand-over, faults of the store, faults of the engine."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest
from structlog.testing import capture_logs

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.adapters.memory.shard import DEAD, FINISHED
from nexus_sched.core.task_events import TaskEvents
from nexus_sched.errors import InvalidInput, StateLost, StoreUnreachable
from nexus_sched.model.events import SettingsChanged
from nexus_sched.model.frame import decode_frame
from nexus_sched.model.journal import decode_turn
from nexus_sched.model.outcome import Completion, Outcome, Receipt
from nexus_sched.model.settings import EngineSettings
from nexus_sched.replay.verify import verify_store
from nexus_sched.runtime import service as service_module
from nexus_sched.runtime import standby
from nexus_sched.runtime.ports import CommitPlan, CompletionLine, Lease, StartLine, SubmitLine
from nexus_sched.runtime.service import Service, ServiceSettings
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.checks import places_differ
from nexus_sched.testing.virtual_time import LoopClock, virtually

SPEC = msgspec.msgpack.encode({"type": "kind"})
FACT = msgspec.msgpack.encode(Completion(run_ms=50.0))
OFFER = msgspec.msgpack.encode({"slots": 2})


class Stage:
    """One shard, workers that run whatever they get for 50 ms, and schedulers."""

    def __init__(self) -> None:
        self.shard = MemoryShard(LoopClock().wall_ms)
        self.receipts: list[Receipt] = []
        self.started: list[tuple[str, int]] = []
        self.services: dict[str, tuple[Service, asyncio.Task[None]]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    def lead(self, owner: str = "a", store: MemoryLeaderStore | None = None, **settings) -> Service:
        service = Service(
            store or MemoryLeaderStore(self.shard),
            ServiceSettings(owner=owner),
            EngineSettings(**settings),
            PREDICTORS,
            clock=LoopClock(),
        )
        self.services[owner] = (service, asyncio.ensure_future(service.run()))
        return service

    def work(self, name: str) -> None:
        self._workers[name] = asyncio.ensure_future(self._work(name))

    async def _work(self, name: str) -> None:
        incarnation, known, due = self.shard.register(name, OFFER), set[tuple[str, int]](), []
        while True:
            now_s = asyncio.get_running_loop().time()
            ended = [line for at_s, line in due if at_s <= now_s]
            due = [each for each in due if each[0] > now_s]
            starts = []
            for entry, fields in self.shard.streams[f"i:{name}"].after((0, 0), 100):
                key = (fields[1].decode(), int(fields[3])) if fields[0] == b"i" else None
                if key and key not in known and len(due) + len(starts) < 2:
                    known.add(key)
                    starts.append(StartLine(*key, f"{entry[0]}-{entry[1]}"))
            reply = self.shard.step(name, incarnation, b"", ended, starts)
            self.receipts += reply.receipts
            for line, envelope in zip(starts, reply.envelopes, strict=True):
                if envelope is not None:
                    self.started.append((line.task_id, line.attempt))
                    due.append((now_s + 0.05, CompletionLine(*line, True, Outcome.SUCCEEDED, FACT, b"")))
            await asyncio.sleep(0.01)

    async def kill_worker(self, name: str) -> None:
        await end(self._workers.pop(name))

    async def kill(self, owner: str) -> None:
        """As a signal that cannot be caught: nothing is handed over."""
        await end(self.services.pop(owner)[1])

    async def stop(self, owner: str) -> None:
        service, running = self.services.pop(owner)
        service.stop()
        await running

    def submit(self, *names: str) -> None:
        self.shard.submit([SubmitLine(name, 5, SPEC, b"x") for name in names], "", 10**6, 10**9)

    async def all_ended(self) -> None:
        await until(lambda: all(task.state in (FINISHED, DEAD) for task in self.shard.tasks.values()))

    async def close(self) -> None:
        for running in self._workers.values():
            await end(running)
        for _, running in self.services.values():
            await end(running)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def staged(*workers: str) -> AsyncIterator[Stage]:
    stage = Stage()
    for name in workers:
        stage.work(name)
    try:
        yield stage
        assert places_differ(stage.shard) == []
    finally:
        await stage.close()


def names(count: int, prefix: str = "t") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_tasks_run_once_and_every_decision_can_be_recomputed():
    async def story():
        async with staged("w1", "w2") as stage:
            stage.lead()
            stage.submit(*names(50))
            await stage.all_ended()
            await until(lambda: not len(stage.shard.streams["res"]))
            await stage.stop("a")
            assert sorted(name for name, _ in stage.started) == sorted(names(50))
            assert set(stage.receipts) == {Receipt.ACCEPTED}
            verdict = await verify_store(MemoryLeaderStore(stage.shard), PREDICTORS)
            assert verdict.agrees
            assert verdict.decisions == 50
            assert len(stage.shard.streams["rep"]) == 0

    virtually(story())


def test_frame_shows_where_the_shard_stands():
    async def story():
        async with staged("w1") as stage:
            stage.lead()
            stage.submit(*names(5))
            await stage.all_ended()
            await asyncio.sleep(1)
            frame = decode_frame(stage.shard.frame)
            assert (frame.owner, frame.epoch, frame.workers_live, frame.queued, frame.in_flight) == ("a", 1, 1, 0, 0)
            assert (frame.counters["finished"], frame.decision_us.count, frame.breaker) == (5, 5, "closed")

    virtually(story())


def test_stop_hands_over_within_half_a_second_and_nothing_is_requeued():
    async def story():
        async with staged("w1", "w2") as stage:
            stage.lead("a")
            await until(lambda: stage.shard.seq and stage.shard.beats)
            waiting = stage.lead("b")
            stage.submit(*names(60))
            await until(lambda: len(stage.receipts) > 10)
            stop_at_s = now_s()
            await stage.stop("a")
            assert now_s() - stop_at_s < 0.1
            await waiting.leading.wait()
            assert now_s() - stop_at_s < 0.5
            assert stage.shard.kept[0] is not None
            await stage.all_ended()
            assert {attempt for _, attempt in stage.started} == {1}
            assert len(stage.started) == 60

    virtually(story())


def test_leader_that_dies_is_replaced_and_nothing_is_lost_or_repeated():
    async def story():
        async with staged("w1", "w2") as stage:
            stage.lead("a")
            await until(lambda: stage.shard.beats)
            other = stage.lead("b")
            stage.submit(*names(200))
            await until(lambda: len(stage.receipts) > 10)
            died_at_s = now_s()
            await stage.kill("a")
            await other.leading.wait()
            assert now_s() - died_at_s <= 4.0
            await stage.all_ended()
            assert sorted(stage.started) == sorted((name, 1) for name in names(200))
            assert stage.shard.epoch == 2

    virtually(story())


def test_leader_that_was_fenced_steps_down_and_waits_for_its_turn():
    async def story():
        async with staged("w1") as stage:
            first = stage.lead("a")
            await first.leading.wait()
            stage.submit(*names(5))
            await stage.all_ended()
            stage.shard.owner = ""  # as after a hand-over
            usurper = stage.shard.acquire("usurper", "x", None)
            assert isinstance(usurper, Lease)
            await until(lambda: not first.leading.is_set())
            stage.submit(*names(5, "later"))
            await stage.all_ended()  # the usurper never renews, so the first one leads again
            assert stage.shard.epoch == 3

    virtually(story())


class Forgetful(MemoryLeaderStore):
    """Applies every `every`-th commit and loses the reply, or loses the commit itself."""

    def __init__(self, shard: MemoryShard, every: int, *, applied: bool) -> None:
        super().__init__(shard)
        self.every, self.applied, self.commits, self.lost = every, applied, 0, 0

    def commit(self, lease: Lease, seq: int, plan: CommitPlan):
        self.commits += 1
        if self.commits % self.every:
            return super().commit(lease, seq, plan)
        self.lost += 1
        if self.applied:
            super().commit(lease, seq, plan).close()  # type: ignore[attr-defined]  # a coroutine, here
        return self._silence()

    async def _silence(self) -> int:
        await asyncio.sleep(0.003)
        raise StoreUnreachable("the connection broke")


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("every", [3, 7])
def test_lost_reply_of_a_commit_loses_and_repeats_nothing(every: int, applied: bool):
    async def story():
        async with staged("w1", "w2", "w3") as stage:
            store = Forgetful(stage.shard, every, applied=applied)
            stage.lead("a", store)
            for number in range(20):
                stage.submit(*names(5, f"b{number}-"))
                await asyncio.sleep(0.03)
            await stage.all_ended()
            assert store.lost > 3
            assert len(stage.started) == 100
            assert {attempt for _, attempt in stage.started} == {1}
            assert set(stage.receipts) == {Receipt.ACCEPTED}

    virtually(story())


class Unreachable(MemoryLeaderStore):
    """Nothing works while `down`."""

    down = False

    async def read(self, cursors, count, block_ms):
        if self.down:
            raise StoreUnreachable("no connection")
        return await super().read(cursors, count, min(block_ms, 100))

    async def acquire(self, owner, nonce, seen):
        if self.down:
            raise StoreUnreachable("no connection")
        return await super().acquire(owner, nonce, seen)


def test_store_that_is_away_for_a_while_is_waited_for_with_growing_pauses():
    async def story():
        async with staged("w1") as stage:
            store = Unreachable(stage.shard)
            asked = []
            acquire = store.acquire

            async def counted(*arguments):
                asked.append(now_s())
                return await acquire(*arguments)

            store.acquire = counted
            service = stage.lead("a", store)
            await service.leading.wait()
            store.down = True
            await asyncio.sleep(30)
            assert not service.leading.is_set()
            assert len(asked) < 45
            assert max(later - earlier for earlier, later in pairwise(asked[1:])) <= 1.01
            store.down = False
            stage.submit(*names(10))
            await stage.all_ended()

    virtually(story())


def test_silent_worker_is_reaped_and_its_tasks_run_elsewhere():
    async def story():
        async with staged("w1", "w2") as stage:
            stage.lead("a")
            await until(lambda: stage.shard.seq and stage.shard.beats)
            stage.submit(*names(40))
            await until(lambda: len(stage.receipts) > 4)
            died_at_s = now_s()
            await stage.kill_worker("w1")
            await stage.all_ended()
            assert 4.0 <= now_s() - died_at_s <= 7.0
            assert stage.shard.workers["w1"].standing == "LOST"
            repeated = {name for name, attempt in stage.started if attempt > 1}
            assert 1 <= len(repeated) <= 3  # only what lay with the dead one

    virtually(story())


def test_suspect_of_a_dead_leader_works_again_under_its_successor():
    async def story():
        async with staged() as stage:
            stage.lead("a")
            await until(lambda: stage.shard.seq)
            incarnation = stage.shard.register("w1", OFFER)
            await asyncio.sleep(3.2)  # silent long enough to be suspected, not to be reaped
            await stage.kill("a")
            other = stage.lead("b")
            await other.leading.wait()
            stage.submit("t1")
            for _ in range(300):
                stage.shard.step("w1", incarnation, b"", [], [])
                await asyncio.sleep(0.01)
            assert len(stage.shard.streams["i:w1"]) == 1

    virtually(story())


def poison(monkeypatch: pytest.MonkeyPatch, handler: str, task_id: str) -> None:
    """Let the engine raise at one task."""
    healthy = getattr(TaskEvents, handler)

    def raising(self, event):
        named = getattr(event, "task", event)
        if task_id in (getattr(named, "id", None), getattr(named, "task_id", None)):
            raise ZeroDivisionError("broken on purpose")
        healthy(self, event)

    monkeypatch.setattr(TaskEvents, handler, raising)


def test_task_that_the_engine_cannot_handle_is_put_aside_and_all_others_run(monkeypatch: pytest.MonkeyPatch):
    poison(monkeypatch, "submitted", "t7")

    async def story():
        async with staged("w1", "w2") as stage:
            service = stage.lead()
            stage.submit(*names(30))
            await stage.all_ended()
            states = {name: task.state for name, task in stage.shard.tasks.items()}
            assert [name for name, state in states.items() if state == DEAD] == ["t7"]
            assert stage.shard.tasks["t7"].outcome == "engine-error"
            assert service._guard.faults == 2

            stage.submit(*names(3_000, "more"))  # and it does not stay careful for ever
            await stage.all_ended()
            assert not service._guard.careful
            assert not service._loop._inputs.one_by_one
            verdict = await verify_store(MemoryLeaderStore(stage.shard), PREDICTORS)
            assert verdict.agrees

    virtually(story())


def test_fact_that_the_engine_cannot_handle_is_put_aside_and_all_others_run(monkeypatch: pytest.MonkeyPatch):
    poison(monkeypatch, "finished", "t7")

    async def story():
        async with staged("w1", "w2") as stage:
            service = stage.lead()
            stage.submit(*names(30))
            await stage.all_ended()
            assert {task.state for task in stage.shard.tasks.values()} == {FINISHED}
            assert service._guard.faults == 2
            assert len(stage.shard.streams["dead"]) == 1

    virtually(story())


def test_configuration_that_the_engine_refuses_ends_the_service_with_its_own_words():
    async def story():
        async with staged() as stage:
            stage.lead("a", predictor="oracle")
            with pytest.raises(InvalidInput, match="oracle"):
                await asyncio.wait_for(stage.services.pop("a")[1], 30)

    virtually(story())


def test_shard_that_was_emptied_under_a_leader_is_not_started_afresh_silently():
    async def story():
        async with staged("w1") as stage:
            service = stage.lead("a")
            await service.leading.wait()
            stage.submit(*names(5))
            await stage.all_ended()
            await stage.kill_worker("w1")
            fresh = MemoryShard(LoopClock().wall_ms)
            stage.shard.__dict__.update(fresh.__dict__)
            with pytest.raises(StateLost, match="is empty now"):
                await asyncio.wait_for(stage.services.pop("a")[1], 30)

    virtually(story())


def test_shard_that_was_emptied_under_a_standby_is_not_started_afresh_by_it():
    async def story():
        async with staged("w1") as stage:
            leader = stage.lead("a")
            await leader.leading.wait()
            standby = stage.lead("b")
            stage.submit(*names(5))
            await stage.all_ended()
            await until(lambda: standby.standby.seq_seen == leader._loop.engine.seq)
            await stage.kill_worker("w1")
            fresh = MemoryShard(LoopClock().wall_ms)
            stage.shard.__dict__.update(fresh.__dict__)
            for owner in ("b", "a"):  # whoever finds it first
                with pytest.raises(StateLost, match="is empty now"):
                    await asyncio.wait_for(stage.services.pop(owner)[1], 30)
            assert not stage.shard.streams["ev"].after((0, 0), 1)

    virtually(story())


def test_settings_change_while_leading_and_while_standing_by():
    async def story():
        async with staged("w1") as stage:
            leader = stage.lead("a")
            await leader.leading.wait()
            standby = stage.lead("b")
            changed = EngineSettings(order_weight=0.25)
            leader.reconfigure(changed, "ops")
            standby.reconfigure(changed, "ops")
            stage.submit("t1")
            await stage.all_ended()
            turns = [decode_turn(fields[1]) for _, fields in stage.shard.streams["ev"].after((0, 0), 10**6)]
            events = [event for turn in turns for event in turn.events]
            assert [event for event in events if isinstance(event, SettingsChanged)] == [
                SettingsChanged(changed, "ops")
            ]
            await stage.stop("a")
            await standby.leading.wait()
            await until(lambda: standby._loop.engine.epoch == 2)
            assert standby._loop.engine.settings == changed
            verdict = await verify_store(MemoryLeaderStore(stage.shard), PREDICTORS)
            assert verdict.agrees, verdict.differences

    virtually(story())


def remembered(shard: MemoryShard) -> dict[str, object]:
    """All that a store holds, as a replica that then hears no more of it."""
    return copy.deepcopy({name: part for name, part in vars(shard).items() if name not in ("bus", "clock_ms")})


@pytest.mark.parametrize("survivor", ["a", "b"])
def test_store_that_went_back_in_time_is_given_a_grace_and_then_led_from_where_it_is(survivor: str):
    async def story():
        async with staged("w1") as stage:
            await stage.lead("a").leading.wait()
            other = stage.lead("b")
            stage.submit(*names(20))
            await stage.all_ended()
            await asyncio.sleep(1)
            stale = remembered(stage.shard)
            stage.submit(*names(20, "lost"))
            await stage.all_ended()
            await asyncio.sleep(1)
            ahead = stage.shard.seq
            if survivor == "b":
                await stage.kill("a")
            else:
                await stage.kill("b")
            await stage.kill_worker("w1")
            stage.shard.__dict__.update(stale)
            assert stage.shard.seq < ahead
            back_at_s, epoch = now_s(), stage.shard.epoch
            stage.work("w2")
            stage.submit(*names(20, "more"))
            await until(lambda: stage.shard.epoch > epoch)
            await until(stage.services[survivor][0].leading.is_set)
            assert now_s() - back_at_s >= 0.5
            await stage.all_ended()
            assert other.standby.divergences == 0
            (told,) = (entry for entry in told_of if entry["event"] == "store went back")
            assert told["from_seq"] >= ahead > told["to_seq"]
            verdict = await verify_store(MemoryLeaderStore(stage.shard), PREDICTORS)
            assert verdict.agrees

    with capture_logs() as told_of:
        virtually(story())


def test_standby_takes_over_warm_and_has_written_the_snapshots(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(standby, "SNAPSHOT_EVENTS", 100)

    async def story():
        async with staged("w1", "w2") as stage:
            await stage.lead("a").leading.wait()
            other = stage.lead("b")
            for number in range(10):
                stage.submit(*names(20, f"b{number}-"))
                await stage.all_ended()
            await asyncio.sleep(1)
            assert stage.shard.kept[0] is not None
            with monkeypatch.context() as patched:
                patched.setattr(service_module, "recover", None)  # a standby needs none
                await stage.kill("a")
                stage.submit(*names(20))
                await other.leading.wait()
            await stage.all_ended()
            assert {attempt for _, attempt in stage.started} == {1}
            verdict = await verify_store(MemoryLeaderStore(stage.shard), PREDICTORS)
            assert verdict.agrees

    virtually(story())
