"""A shard is broken by hand in every way that fsck knows: each is found by its code, and repaired if that is safe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.cli import exit_codes, main
from nexus_sched.cli import fsck as command
from nexus_sched.inspection import inspect
from nexus_sched.model.command import CancelTask, encode_command
from nexus_sched.worker import App
from tests.integration.application import app
from tests.integration.shard import Shard, eventually, leading, payload_of, raw_client, working

HELD_MS = 60_000.0


class Fsck:
    """Runs the command in a thread of this process, as the scheduler beside it needs the loop."""

    def __init__(self, shard: Shard, captured: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--redis-url", shard.url, "--pool", shard.pool, "--json"]
        self._captured = captured

    async def __call__(self, *arguments: str) -> tuple[int, dict]:
        self._captured.readouterr()
        code = await asyncio.to_thread(main, ["fsck", *arguments, *self._flags])
        printed = self._captured.readouterr().out.splitlines()  # the scheduler logs beside it
        return code, json.loads(next(line for line in reversed(printed) if line.startswith("{")))


class Vandal:
    """Breaks a shard by hand."""

    def __init__(self, client: RespClient, pool: str) -> None:
        self.keys = ShardKeys(pool, 0)
        self.call = client.call

    def key(self, suffix: str) -> bytes:
        return self.keys.key(suffix.encode())

    async def entry(self, place: str, which: int = 0) -> bytes:
        return (await self.call("XRANGE", self.key(place), "-", "+"))[which][0]


@pytest.fixture
def fsck(shard: Shard, capsys: pytest.CaptureFixture[str]) -> Fsck:
    return Fsck(shard, capsys)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves in a shard at rest, so there is nothing to wait for between two looks."""
    monkeypatch.setattr(inspect, "SETTLE_S", 0.0)
    monkeypatch.setattr(command, "SETTLE_S", 0.0)


def codes(findings: list[dict]) -> list[str]:
    return sorted({finding["code"] for finding in findings})


async def at_rest(shard: Shard, vandal: Vandal) -> None:
    """A stopped shard with two tasks in a dead worker's inbox, two that wait, and some that have ended."""
    async with leading(shard):
        async with working(shard, app, "was-here"):
            await shard.submit(5, "where")
            await shard.all_succeed()
        await vandal.call("FCALL", "nx_register", 1, vandal.keys.meta, vandal.keys.prefix, "gone", b"\x81\xa5slots\x02")
        await shard.submit(4, "where", HELD_MS)
        await eventually(lambda: inbox_holds(vandal, 2))
    async with leading(shard):  # a second snapshot, with some turns behind the first
        for _ in range(3):
            await shard.store.command(encode_command(CancelTask("nobody")))
            await asyncio.sleep(0.02)


async def inbox_holds(vandal: Vandal, count: int) -> bool:
    return await vandal.call("XLEN", vandal.key("i:gone")) >= count


async def test_whole_shard_has_no_findings_at_rest_and_under_load(shard: Shard, fsck: Fsck) -> None:
    async with raw_client(shard.url) as client:
        code, answer = await fsck()
        assert (code, answer["error"]["code"]) == (exit_codes.NOT_FOUND, "POOL_UNKNOWN")
        vandal = Vandal(client, shard.pool)
        await at_rest(shard, vandal)
        code, answer = await fsck()
        assert (code, answer["findings"], answer["live_tasks"]) == (exit_codes.OK, [], 4)
    async with leading(shard), working(shard, quick, "busy", 8):
        loading = asyncio.ensure_future(load(shard))
        for _ in range(3):
            code, answer = await fsck()
            assert (code, answer["left"]) == (exit_codes.OK, []), answer
        loading.cancel()


async def load(shard: Shard) -> None:
    while True:
        await shard.submit(50, "where", 5.0)
        await asyncio.sleep(0.05)


Break = Callable[[Vandal], Awaitable[object]]


async def lose_record_in_queue(vandal: Vandal) -> None:
    await vandal.call("DEL", vandal.key("t:task-8"), vandal.key("p:task-8"))
    await vandal.call("HINCRBY", vandal.keys.meta, "bytes", -len(payload_of(0.0)))


async def lose_pointer(vandal: Vandal) -> None:
    await vandal.call("XDEL", vandal.key("i:gone"), await vandal.entry("i:gone"))


async def repeat_pointer(vandal: Vandal) -> None:
    await vandal.call("XADD", vandal.key("i:other"), "*", "i", "task-8", "a", "7")
    await vandal.call("HSET", vandal.key("w:other"), "inc", "1")


async def point_to_the_ended(vandal: Vandal) -> None:
    await vandal.call("XADD", vandal.key("i:gone"), "*", "i", "task-0", "a", "1")


async def lose_worker(vandal: Vandal) -> None:
    await vandal.call("DEL", vandal.key("w:gone"))


async def bury_without_letter(vandal: Vandal) -> None:
    await vandal.call("HSET", vandal.key("t:old"), "s", "D", "o", "worker-killer", "a", "2", "b", "0")


async def add_behind_the_cursor(vandal: Vandal) -> None:
    """As if the scheduler had read a pointer and forgotten it."""
    await vandal.call("HSET", vandal.key("t:unread"), "s", "Q", "b", "0")
    await vandal.call("SET", vandal.key("p:unread"), b"\x00\x00\x00\x0c\x81\xa4type\xa5where")
    kept = await vandal.call("XRANGE", vandal.key("q:5"), "-", "+")
    await vandal.call("DEL", vandal.key("q:5"))
    await vandal.call("XADD", vandal.key("q:5"), "1-1", "i", "unread", "m", b"\x81\xa4type\xa5where", "b", "0")
    for entry, fields in kept:
        await vandal.call("XADD", vandal.key("q:5"), entry, *fields)


async def lose_payload(vandal: Vandal) -> None:
    await vandal.call("DEL", vandal.key("p:task-8"))


async def leave_things_behind(vandal: Vandal) -> None:
    await vandal.call("SET", vandal.key("p:nobody"), "x")
    await vandal.call("SET", vandal.key("r:nobody"), "x")
    await vandal.call("SET", vandal.key("snap:77777"), "x")


async def miscount(vandal: Vandal) -> None:
    await vandal.call("HINCRBY", vandal.keys.meta, "bytes", 5)


REPAIRED = {"repaired", "asked", "changed meanwhile"}
BREAKS: tuple[tuple[tuple[Break, ...], set[str]], ...] = (
    (
        (lose_record_in_queue, point_to_the_ended, bury_without_letter, leave_things_behind),
        {
            *("pointer-dangling", "engine-elsewhere", "pointer-stale", "letter-missing"),
            *("payload-orphan", "result-orphan", "snapshot-stray"),
        },
    ),
    (
        (repeat_pointer, lose_pointer, add_behind_the_cursor, miscount),
        {"pointer-repeated", "pointer-missing", "engine-unknown", "bytes-wrong"},
    ),
    ((lose_payload, lose_worker), {"payload-lost", "inbox-ownerless"}),
)


@pytest.mark.parametrize(("breaks", "expected"), BREAKS, ids=["records", "pointers", "owners"])
async def test_broken_shard_is_found_and_repaired(
    shard: Shard, fsck: Fsck, at_once: None, breaks: tuple[Break, ...], expected: set[str]
) -> None:
    async with raw_client(shard.url) as client:
        vandal = Vandal(client, shard.pool)
        await at_rest(shard, vandal)
        for spoil in breaks:
            await spoil(vandal)
        code, answer = await fsck()
        assert (code, set(codes(answer["left"]))) == (exit_codes.VERIFICATION_FAILED, expected), answer["left"]
        code, answer = await fsck("--repair")
        assert {row["result"] for row in answer["repairs"]} <= REPAIRED
        assert (code, answer["left"]) == (exit_codes.OK, [])
        await vandal.call("FCALL", "nx_leave", 1, vandal.keys.meta, vandal.keys.prefix, "gone", "1")
        async with leading(shard), working(shard, quick, "finisher", 4):  # and the scheduler can go on with it
            await eventually(lambda: whole_and_drained(fsck))


quick = App()


@quick.task
async def where(ms: float = 0.0, _: str = "") -> float:
    """What the application of the dead worker would have taken a minute for."""
    return ms


async def whole_and_drained(fsck: Fsck) -> bool:
    code, answer = await fsck()
    return code == exit_codes.OK and answer["live_tasks"] == 0


async def test_broken_history_is_found_and_never_repaired(shard: Shard, fsck: Fsck, at_once: None) -> None:
    async with raw_client(shard.url) as client:
        vandal = Vandal(client, shard.pool)
        await at_rest(shard, vandal)
        seq = int(await vandal.call("HGET", vandal.keys.meta, "seq"))
        newest = vandal.keys.snapshot(b"%d" % seq)
        for spoil, expected in (
            (("SET", newest, "x"), {"snapshot-unreadable"}),
            (("DEL", newest), {"snapshot-missing"}),
            (("XDEL", vandal.keys.journal, f"{seq - 1}-0"), {"snapshot-missing", "journal-gap", "state-unrecoverable"}),
        ):
            await vandal.call(*spoil)
            code, answer = await fsck("--repair")
            assert (code, set(codes(answer["left"]))) == (exit_codes.VERIFICATION_FAILED, expected)
            assert {row["result"] for row in answer["repairs"]} == {"left"}
        await vandal.call("XDEL", vandal.keys.journal, f"{seq}-0")
        code, answer = await fsck()
        assert "journal-short" in codes(answer["left"])
