"""Several schedulers of one shard: hand-over, death, fencing, and stores that are not what they were."""

from __future__ import annotations

import asyncio
import copy

import pytest
from structlog.testing import capture_logs

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.errors import StateLost
from nexus_sched.replay.verify import verify_store
from nexus_sched.runtime import service as service_module
from nexus_sched.runtime import standby
from nexus_sched.runtime.ports import Lease
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.testing.virtual_time import LoopClock, virtually
from tests.unit.runtime.stage import names, now_s, staged, until


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


def test_worker_that_fell_silent_under_the_former_leader_is_not_waited_for_anew():
    async def story():
        async with staged("w1", "w2") as stage:
            await stage.lead("a").leading.wait()
            other = stage.lead("b")
            await asyncio.sleep(2)
            assert stage.shard.beats.keys() == {"w1", "w2"}
            await stage.kill_worker("w1")
            died_at_s = now_s()
            await asyncio.sleep(2.5)
            await stage.kill("a")
            await until(lambda: stage.shard.beats.keys() == {"w2"}, 12)
            assert now_s() - died_at_s <= 6.0
            assert other.leading.is_set()

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
