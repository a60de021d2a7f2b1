"""A whole scheduler on the ports in memory, in virtual time: faults of the store, faults of the engine."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.adapters.memory.shard import DEAD, FINISHED
from nexus_sched.core.task_events import TaskEvents
from nexus_sched.errors import InvalidInput, StateLost, StoreUnreachable
from nexus_sched.model.events import SettingsChanged
from nexus_sched.model.frame import decode_frame
from nexus_sched.model.journal import decode_turn
from nexus_sched.model.outcome import Receipt
from nexus_sched.model.settings import EngineSettings
from nexus_sched.replay.verify import verify_store
from nexus_sched.runtime.ports import CommitPlan, Lease, LeaseSeen, StartLine
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.virtual_time import LoopClock, virtually
from tests.unit.runtime.stage import OFFER, names, now_s, staged, until


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


class Overtaken(MemoryLeaderStore):
    """While the first leader recovers, the store goes back behind its lease and its turns."""

    went_back = False

    async def snapshots(self):
        if not self.went_back:
            self.went_back = True
            self.shard.seq, self.shard.epoch, self.shard.owner, self.shard.nonce = 0, 1, "", ""
        return await super().snapshots()


def test_turns_that_are_missing_after_the_lease_was_lost_do_not_end_the_scheduler():
    async def story():
        async with staged("w1") as stage:
            stage.shard.seq = 3
            store = Overtaken(stage.shard)
            service = stage.lead("a", store)
            await until(service.leading.is_set)
            assert store.went_back
            stage.submit("t1")
            await stage.all_ended()

    virtually(story())


def test_turns_that_are_missing_under_a_good_lease_end_the_scheduler():
    async def story():
        async with staged() as stage:
            stage.shard.seq = 3
            stage.lead("a")
            with pytest.raises(StateLost, match="ends at turn 0"):
                await stage.services.pop("a")[1]

    virtually(story())


def test_shard_that_somebody_else_began_anew_is_not_led_by_who_knew_the_former():
    async def story():
        async with staged() as stage:
            former = stage.lead("a")
            stage.submit("t1")
            await until(lambda: former.seq >= 2)
            await stage.stop("a")
            seen = (former.seq_seen, former.born_seen)

            again = stage.lead("a")
            again.remember(*seen)
            await again.leading.wait()
            await stage.stop("a")

            stage.shard = MemoryShard(LoopClock().wall_ms)
            newcomer = stage.lead("b")
            for name in names(9):
                stage.submit(name)
                await asyncio.sleep(1)
            assert newcomer.seq > former.seq_seen  # nothing is missing, by the number of turns
            await stage.stop("b")
            stage.lead("a").remember(*seen)
            with pytest.raises(StateLost, match="begun anew"):
                await stage.services.pop("a")[1]
            stage.lead("b")  # and others are not kept from it
            await asyncio.wait_for(stage.services["b"][0].leading.wait(), 1)

    virtually(story())


def test_reaping_that_a_fallen_leader_began_goes_on_although_the_death_is_unread():
    async def story():
        async with staged() as stage:
            shard, inbox = stage.shard, stage.shard.streams["i:w1"]
            incarnation = shard.register("w1", OFFER)
            stage.lead("a", mode="round-robin")
            stage.submit(*names(120))
            await until(lambda: len(inbox) == 120)
            await stage.kill("a")
            entry, fields = inbox.after((0, 0), 120)[-1]
            start = StartLine(fields[1].decode(), 1, f"{entry[0]}-{entry[1]}")
            assert shard.step("w1", incarnation, b"", [], [start]).envelopes != [None]
            fallen = shard.acquire("b", "of b", LeaseSeen(str(shard.epoch), str(shard.renewals)))
            assert shard.reap(fallen, "w1", shard.beats["w1"], 100).left == 20
            shard.release(fallen)
            stage.lead("c")
            await until(lambda: len(inbox) == 0)

    virtually(story())
