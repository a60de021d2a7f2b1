"""A server that is missing, loading, read-only, full or unsuitable; entries that somebody wrote by hand.

Each gets words, never a traceback; waiting never spins; and what was accepted before is not lost.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nexus_sched.cli import exit_codes
from nexus_sched.errors import StoreOutOfMemory
from nexus_sched.testing.servers import KINDS, ServerMissing, TestServer
from tests.integration.application import app
from tests.integration.programs import Program, Programs
from tests.integration.shard import Shard, eventually, leading, raw_client, working

# An interpreter and the imports of the command take 0.3 s; what spins for two seconds takes that more.
WAITING_CPU_S_MAX = 1.2
SOON = "redis.connect_timeout=500ms"


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """A server that this test may break."""
    try:
        server = TestServer(request.param)
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def own_programs(own_server: TestServer, pool: str, tmp_path: Path) -> Iterator[Programs]:
    started = Programs(own_server.url, pool, tmp_path)
    yield started
    started.close()


@pytest.fixture
async def own_shard(own_server: TestServer, pool: str) -> AsyncIterator[Shard]:
    opened = Shard(own_server.url, pool)
    await opened.open()
    yield opened
    await opened.close()


async def configure(server: TestServer, *command: str | int) -> None:
    """One command that changes the server."""
    async with raw_client(server.url) as client:
        await client.call(*command)


def error_of(program: Program) -> dict[str, str]:
    """The JSON error of a command that ended, which comes after its words for people."""
    assert "Traceback" not in program.output, program.output
    found: dict[str, str] = json.loads(program.output.splitlines()[-1])["error"]
    return found


# -- at the start


async def test_missing_server_is_told_and_ends_with_code_4(pool: str, tmp_path: Path) -> None:
    programs = Programs(f"unix://{tmp_path}/nobody.sock", pool, tmp_path)
    try:
        scheduler = programs.start("run", "--json", "--set", SOON)
        assert await asyncio.to_thread(scheduler.wait) == exit_codes.CANNOT_REACH
        assert error_of(scheduler)["code"] == "STORE_UNREACHABLE"
        assert "nobody.sock" in scheduler.output
        assert scheduler.cpu_s < WAITING_CPU_S_MAX
    finally:
        programs.close()


async def test_evicting_server_is_refused_with_code_3_and_the_remedy(
    own_server: TestServer, own_programs: Programs
) -> None:
    await configure(own_server, "CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
    scheduler = own_programs.start("run", "--json")
    assert await asyncio.to_thread(scheduler.wait) == exit_codes.BAD_CONFIGURATION
    error = error_of(scheduler)
    assert error["code"] == "STORE_UNSUITABLE"
    assert "CONFIG SET maxmemory-policy noeviction" in error["message"]


@pytest.mark.parametrize("kind", KINDS)
async def test_loading_server_is_waited_for(kind: str, pool: str, tmp_path: Path) -> None:
    # the servers' own settings for tests: a pause of so many microseconds for each key that is loaded
    slowly = {"key-load-delay": "250", "loading-process-events-interval-bytes": "1024"}
    try:
        server = TestServer(kind, options=slowly)
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with server:
        shard, programs = Shard(server.url, pool), Programs(server.url, pool, tmp_path)
        try:
            await shard.open()
            await shard.submit(1)
            async with raw_client(server.url) as client:
                await client.call("MSET", *(text for number in range(12_000) for text in (f"filler:{number}", "x")))
                await client.call("SAVE")
            await asyncio.to_thread(server.stop)
            starting = asyncio.create_task(asyncio.to_thread(server.start))
            scheduler = programs.scheduler()
            await eventually(lambda: "LOADING" in scheduler.output)
            assert not starting.done()
            await starting
            async with working(shard, app, "w-0"):
                await shard.all_succeed()
            scheduler.terminate()
            assert await asyncio.to_thread(scheduler.wait) == exit_codes.OK
            assert "Traceback" not in scheduler.output
            assert scheduler.cpu_s < WAITING_CPU_S_MAX
        finally:
            programs.close()
            await shard.close()


async def test_replica_is_told_at_the_start(own_server: TestServer, own_programs: Programs) -> None:
    await configure(own_server, "REPLICAOF", "127.0.0.1", 1)
    scheduler = own_programs.start("run", "--json")
    assert await asyncio.to_thread(scheduler.wait) == exit_codes.CANNOT_REACH
    assert error_of(scheduler)["code"] == "STORE_READ_ONLY"


# -- while it serves


async def test_server_turns_read_only_and_back_the_scheduler_waits_and_goes_on(
    own_server: TestServer, own_programs: Programs, own_shard: Shard
) -> None:
    scheduler = own_programs.scheduler()
    async with working(own_shard, app, "w-0", 4):
        await own_shard.submit(20)
        await own_shard.all_succeed()
        await own_shard.submit(20, ms=50.0)
        await configure(own_server, "REPLICAOF", "127.0.0.1", 1)
        await asyncio.sleep(2.0)
        assert not scheduler.ended()
        await configure(own_server, "REPLICAOF", "NO", "ONE")
        await own_shard.submit(20)
        await own_shard.all_succeed()
    scheduler.terminate()
    assert await asyncio.to_thread(scheduler.wait) == exit_codes.OK
    assert "STORE_READ_ONLY" in scheduler.output
    assert "Traceback" not in scheduler.output
    assert scheduler.cpu_s < WAITING_CPU_S_MAX


async def test_full_server_refuses_submissions_while_what_it_holds_is_worked_off(
    own_server: TestServer, own_programs: Programs, own_shard: Shard
) -> None:
    await own_shard.submit(50)
    await configure(own_server, "CONFIG", "SET", "maxmemory", "1mb")
    scheduler = own_programs.scheduler()  # one that starts now must be able to drain, too
    async with working(own_shard, app, "w-0", 4):
        await own_shard.all_succeed()
        with pytest.raises(StoreOutOfMemory):
            await own_shard.store.submit([], "")
        await configure(own_server, "CONFIG", "SET", "maxmemory", "0")
        await own_shard.submit(10)
        await own_shard.all_succeed()
    assert not scheduler.ended()
    assert "Traceback" not in scheduler.output


# -- entries that were written by hand

DEEP = b"\x91" * 5_000 + b"\xc0"
HOSTILE: dict[str, list[list[bytes | str]]] = {
    "q:5": [
        ["i", "no-spec"],
        ["m", b"\x80"],
        ["i", "nil-spec", "m", b"\xc0", "b", "0"],
        ["i", "deep", "m", DEEP, "b", "0"],
        ["i", "cut", "m", b"\x81\xa4type", "b", "0"],
        ["i", "no/type", "m", b"\x81\xa4type\xa5a b c", "b", "0"],
        ["i", "not-utf8", "m", b"\x81\xa4type\xa2\xff\xfe", "b", "0"],
        ["i", "nan", "m", b"\x82\xa4type\xa1a\xa7hint_ms\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "b", "0"],
        ["i", "below", "m", b"\x81\xa4type\xa1a", "b", "-1"],
        ["i", "twice", "i", "twice", "m", b"\x81\xa4type\xa1a", "b", "0"],
        ["i", b"\xff\xfe", "m", b"\x81\xa4type\xa1a", "b", "0"],
        ["i", "x" * 200, "m", b"\x81\xa4type\xa1a", "b", "0"],
        ["i", "large", "m", b"\x00" * 40_000, "b", "0"],
    ],
    "q:r": [["i", "nobody"], ["i", "nobody", "a", "x", "w", "w-0", "y", "worker-lost", "n", "1"]],
    "res": [["i", "nobody"], ["i", "a b", "w", "w-0", "a", "1", "f", b"\xc1"]],
    "rep": [["k", "join", "w", "ghost", "n", "1", "f", b"\xc1"], ["k", "?", "w", "ghost", "n", "1"]],
    "cmd": [["f", b"\xc1"], ["f", b"\x82\xa4kind\xa4mode\xa4mode\xa5chaos"], ["x", "y"]],
}


async def test_hostile_entries_become_dead_letters_and_the_tasks_among_them_finish(shard: Shard) -> None:
    prefix = shard.store.keys.prefix
    hostile = sum(len(entries) for entries in HOSTILE.values())
    async with leading(shard) as service, working(shard, app, "w-0", 4), raw_client(shard.url) as client:
        for stream, entries in HOSTILE.items():
            for entry in entries:
                await client.call("XADD", prefix + b":" + stream.encode(), "*", *entry)
            await shard.submit(5)
        await shard.all_succeed()
        engine = service._loop.engine
        await eventually(lambda: engine.counters["refused"] == hostile)
        assert engine.counters["finished"] == len(shard.submitted)
        letters = [fields for _, fields in await client.call("XRANGE", prefix + b":dead", "-", "+")]
        assert len(letters) == hostile
        assert {fields[5] for fields in letters} == {b"malformed", b"too-large"}
        for stream in HOSTILE:
            await eventually(lambda stream=stream: _is_empty(shard, stream))


async def _is_empty(shard: Shard, stream: str) -> bool:
    async with raw_client(shard.url) as client:
        return await client.call("XLEN", shard.store.keys.prefix + b":" + stream.encode()) == 0
