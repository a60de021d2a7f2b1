"""Foreign streams on real servers: everything comes in once, in order, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from nexus_sched.adapters.redis import IntakeFollower, RedisSubmitterStore
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.resp import RespClient, pack
from nexus_sched.errors import ConfigInvalid, Fenced
from nexus_sched.model.intake import IntakeSettings
from nexus_sched.model.outcome import Reason
from nexus_sched.model.task import TaskSpec
from nexus_sched.runtime.ports import EndLine
from nexus_sched.testing.conformance import Stage
from nexus_sched.testing.servers import TestServer
from nexus_sched.testing.stores import RedisFactory

Entry = dict[str, str | bytes]


class Scene:
    """A stage, a producer that knows only XADD, and a follower."""

    def __init__(self, server: TestServer, pool: str, stage: Stage, producer: RespClient) -> None:
        self.server = server
        self.pool = pool
        self.stage = stage
        self.producer = producer
        self.settings = IntakeSettings(stream=f"jobs of {pool}")
        self.slept_s: list[float] = []
        self._followers: list[IntakeFollower] = []

    async def add(self, *entries: Entry) -> None:
        for entry in entries:
            fields = [part for pair in entry.items() for part in pair]
            await self.producer.call("XADD", self.settings.stream, "*", *fields)

    async def follower(self, *, length_max: int = 100_000) -> IntakeFollower:
        async def sleep(pause_s: float) -> None:
            self.slept_s.append(pause_s)
            await asyncio.sleep(0)

        submitter = RedisSubmitterStore(self.server.url, self.pool, 0, length_max=length_max)
        follower = IntakeFollower(self.server.url, self.pool, 0, self.settings, submitter, sleep=sleep)
        self._followers.append(follower)
        await follower.open()
        return follower

    async def close(self) -> None:
        for follower in self._followers:
            await follower.close()
        await self.producer.close()

    async def queued(self) -> list[str]:
        return [fields["i"].decode() for _, fields in await self.stage.entries("q:5")]


@asynccontextmanager
async def staged(server: TestServer, pool: str) -> AsyncIterator[Scene]:
    async with Stage(RedisFactory(server.url, pool)) as stage:
        await stage.lead()
        scene = Scene(server, pool, stage, RespClient(parse_address(server.url)))
        try:
            yield scene
        finally:
            await scene.close()


async def test_intake_plain_entries_become_tasks_in_order(server: TestServer, pool: str) -> None:
    async with staged(server, pool) as scene:
        follower = await scene.follower()
        await scene.add({"id": "a", "type": "t", "payload": b"\x00\xff"}, {"type": "t", "priority": "7"})
        await scene.add({"id": "b", "type": "t", "hint_ms": "20"})
        assert await follower.pump_once(scene.stage.lease) == 3
        assert await scene.queued() == ["a", "b"]
        seven = await scene.stage.entries("q:7")
        assert seven[0][1]["i"].decode().startswith(f"jobs_of_{pool}:")
        spec = msgspec.msgpack.decode((await scene.stage.entries("q:5"))[1][1]["m"], type=TaskSpec)
        assert spec == TaskSpec(type="t", hint_ms=20.0, codec="json")
        assert (follower.accepted, follower.duplicate, follower.refused) == (3, 0, 0)
        incarnation = await scene.stage.worker.register("w", b"")
        entry = await scene.stage.dispatch("a", "w")
        envelope = await scene.stage.start("w", incarnation, "a", entry)
        assert envelope is not None
        assert envelope.endswith(b"\x00\xff")


async def test_intake_goes_on_behind_its_cursor_after_a_change_of_leader(server: TestServer, pool: str) -> None:
    async with staged(server, pool) as scene:
        first = await scene.follower()
        await scene.add({"id": "a", "type": "t"})
        await first.pump_once(scene.stage.lease)
        former = scene.stage.lease
        await scene.stage.lead(nonce="next")
        await scene.add({"id": "b", "type": "t"})
        with pytest.raises(Fenced):
            await first.pump_once(former)
        second = await scene.follower()
        assert await second.pump_once(scene.stage.lease) == 1
        assert (second.accepted, second.duplicate) == (0, 1)  # the fenced one had submitted it already
        await scene.add({"id": "c", "type": "t"})
        assert await first.pump_once(scene.stage.lease) == 1  # leads again: asks the store where it was
        assert (first.accepted, first.duplicate) == (3, 0)
        assert await scene.queued() == ["a", "b", "c"]


async def test_intake_malformed_entries_are_dead_lettered_and_the_others_go_on(server: TestServer, pool: str) -> None:
    async with staged(server, pool) as scene:
        scene.settings = IntakeSettings(stream=f"jobs of {pool}", document="data", entry_bytes_max=1_000)
        follower = await scene.follower()
        good = [{"data": json.dumps({"id": f"g{number}", "type": "t"})} for number in range(3)]
        bad: list[Entry] = [{"data": b"\xff"}, {"data": "[" * 900}, {"data": "x" * 2_000}, {"other": "{}"}]
        await scene.add(good[0], *bad[:2], good[1], *bad[2:], good[2])
        assert await follower.pump_once(scene.stage.lease) == 7
        assert await scene.queued() == ["g0", "g1", "g2"]
        letters = [fields for _, fields in await scene.stage.dead_letters()]
        assert [letter["y"].decode() for letter in letters] == ["malformed", "malformed", "too-large", "malformed"]
        assert all(letter["d"].startswith(f"jobs of {pool} ".encode()) for letter in letters)
        assert (follower.accepted, follower.refused) == (3, 4)


async def test_intake_full_queue_is_tried_again_until_all_are_in(server: TestServer, pool: str) -> None:
    async with staged(server, pool) as scene:
        follower = await scene.follower(length_max=2)
        await scene.add(*({"id": f"t{number}", "type": "t"} for number in range(5)), {"no": "type"})
        assert await follower.pump_once(scene.stage.lease) == 2
        assert follower.problem == "busy: the queue is full"
        assert await follower.pump_once(scene.stage.lease) == 0
        assert scene.slept_s == [0.05, 0.1]
        assert await scene.stage.dead_letters() == []  # the cursor and what is before it move together
        for expected in (["t2", "t3"], ["t4"]):
            queued = await scene.stage.entries("q:5")
            await scene.stage.commit(removals={"q:5": [entry for entry, _ in queued]})
            await follower.pump_once(scene.stage.lease)
            assert await scene.queued() == expected
        assert (follower.accepted, follower.duplicate, follower.refused) == (5, 0, 1)
        assert len(await scene.stage.dead_letters()) == 1


async def test_intake_repeated_id_is_counted_and_submitted_once(server: TestServer, pool: str) -> None:
    async with staged(server, pool) as scene:
        follower = await scene.follower()
        await scene.add({"id": "a", "type": "t"}, {"id": "a", "type": "t"})
        await follower.pump_once(scene.stage.lease)
        await scene.stage.commit(ends=[EndLine(False, "a", 0, Reason.CANCELLED, "", "")])
        await scene.add({"id": "a", "type": "t"})
        await follower.pump_once(scene.stage.lease)
        assert (follower.accepted, follower.duplicate) == (1, 2)


async def test_intake_runs_until_fenced_and_survives_a_broken_stream(server: TestServer, pool: str) -> None:
    async with staged(server, pool) as scene:
        follower = await scene.follower()
        await scene.producer.call("SET", scene.settings.stream, "not a stream")
        running = asyncio.ensure_future(follower.run(scene.stage.lease))
        async with asyncio.timeout(10):
            while not scene.slept_s:
                await asyncio.sleep(0.002)
            assert "WRONGTYPE" in follower.problem
            await scene.producer.call("DEL", scene.settings.stream)
            await scene.add({"id": "a", "type": "t"})
            while follower.accepted < 1:
                await asyncio.sleep(0.002)
            await scene.stage.lead(nonce="next")
            await scene.add({"id": "b", "type": "t"})
            with pytest.raises(Fenced):
                await running


async def test_intake_thousands_of_entries_come_in_once(server: TestServer, pool: str) -> None:
    async with staged(server, pool) as scene:
        follower = await scene.follower()
        adds = [pack(("XADD", scene.settings.stream, "*", "id", f"t{number}", "type", "t")) for number in range(2_000)]
        await asyncio.gather(*(scene.producer.send(add) for add in adds))
        while follower.accepted < 2_000:
            await follower.pump_once(scene.stage.lease)
        entries = await scene.stage.leader.read({"q:5": "0-0"}, 3_000, 0)
        assert len(entries[0][1]) == 2_000


def test_intake_useless_settings_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match="typ is none of"):
        submitter = RedisSubmitterStore("redis://h", "p", 0)
        IntakeFollower("redis://h", "p", 0, IntakeSettings(stream="s", fields={"typ": "x"}), submitter)
