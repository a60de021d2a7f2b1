"""What is wrong while a shard is led: alarms that come and go, and a store that another one has replaced."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from nexus_sched.adapters.memory import MemoryLeaderStore
from nexus_sched.errors import StoreUnreachable
from nexus_sched.model.effects import Noticed
from nexus_sched.model.events import StoreChanged
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.model.store_state import StoreHealth
from nexus_sched.runtime.health import LOOK_EVERY_S
from nexus_sched.testing.virtual_time import virtually
from tests.unit.runtime.stage import Stage, names, staged

EVICTING = "maxmemory-policy is allkeys-lru"
GAP = "appendfsync is everysec"


class Ailing(MemoryLeaderStore):
    """Says of its server what it is told to say; `None` stands for no answer."""

    says: StoreHealth | None = StoreHealth("strict")

    async def health(self) -> StoreHealth:
        if self.says is None:
            raise StoreUnreachable("no answer")
        return self.says


def shown(stage: Stage) -> Frame:
    assert stage.shard.frame is not None
    return decode_frame(stage.shard.frame)


def turns(stage: Stage) -> list[Turn]:
    return [decode_turn(fields[1]) for _, fields in stage.shard.streams["ev"].after((0, 0), 100_000)]


def test_alarm_of_the_server_is_shown_and_told_once_each_time_it_begins_and_ends():
    async def story():
        async with staged("w1") as stage:
            store = Ailing(stage.shard)
            with capture_logs() as lines:
                await stage.lead("a", store).leading.wait()
                for alarms in ((), (EVICTING,), (EVICTING, "more"), ()):
                    store.says = StoreHealth("strict", GAP if alarms else "", alarms)
                    await asyncio.sleep(2 * LOOK_EVERY_S)
                    assert (shown(stage).durability, shown(stage).alarms) == ("strict", list(alarms))
                    assert shown(stage).durability_gap == (GAP if alarms else "")
                store.says = None
                await asyncio.sleep(2 * LOOK_EVERY_S)
                assert shown(stage).durability == "strict"  # the last that was known
            told = [(line["event"], line.get("detail", "")) for line in lines if "alarm" in line["event"]]
            assert told == [
                ("alarm", EVICTING),
                ("alarm", "more"),
                ("alarm over", EVICTING),
                ("alarm over", "more"),
            ]
            assert [line["gap"] for line in lines if line["event"] == "durability not kept"] == [GAP]

    virtually(story())


def test_mass_death_that_is_held_is_an_alarm_while_it_is():
    async def story():
        async with staged("w1", "w2", "w3", "w4") as stage:
            await stage.lead().leading.wait()
            await asyncio.sleep(1)
            for name in ("w1", "w2", "w3"):
                await stage.kill_worker(name)
            await asyncio.sleep(8)
            (alarm,) = shown(stage).alarms
            assert alarm.startswith("3 workers fell silent at once")
            await asyncio.sleep(20)
            assert shown(stage).alarms == []

    virtually(story())


def test_store_that_another_one_replaced_is_written_into_the_journal_once():
    async def story():
        async with staged("w1") as stage:
            await stage.lead().leading.wait()
            stage.submit(*names(5))
            await stage.all_ended()
            await stage.stop("a")
            assert stage.shard.seq is not None
            seq, stage.shard.history = stage.shard.seq, "another"
            written: dict[int, Turn] = {}  # before a checkpoint cuts them off
            for owner in ("b", "c"):
                await stage.lead(owner).leading.wait()
                stage.submit(*names(5, owner))
                await stage.all_ended()
                written |= {turn.seq: turn for turn in turns(stage)}
                await stage.stop(owner)
            events = [event for turn in written.values() for event in turn.events if type(event) is StoreChanged]
            assert events == [StoreChanged("memory", "another", seq, seq)]
            noticed = [effect for turn in written.values() for effect in turn.effects if type(effect) is Noticed]
            assert [(each.kind, each.detail) for each in noticed if each.kind == "store"] == [
                ("store", "replication id memory is another now; no turn is missing")
            ]

    virtually(story())
