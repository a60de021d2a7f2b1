"""Stores on real servers that are missing, killed, read-only, full, locked, or configured so that tasks get lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_sched.adapters.memory import MemoryShard
from nexus_sched.adapters.redis import RedisLeaderStore, RedisSubmitterStore, RedisWorkerStore
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.library import LIBRARY_TEXT, REVISION
from nexus_sched.adapters.redis.resp import RespClient, dial, pack
from nexus_sched.errors import (
    ProtocolNewer,
    StoreAuthRefused,
    StoreError,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnsuitable,
)
from nexus_sched.model.durability import RELAXED, REPLICATED, Durability
from nexus_sched.model.outcome import Acceptance, Outcome, Receipt
from nexus_sched.model.store_state import StoreHealth
from nexus_sched.runtime.ports import CommitPlan, CompletionLine, DispatchLine, Lease, StartLine, SubmitLine
from nexus_sched.testing.conformance import Stage
from nexus_sched.testing.servers import KINDS, ServerMissing, TestServer
from nexus_sched.testing.stores import RedisFactory

LINE = SubmitLine("a", 5, b"spec", b"payload")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def own_server(kind: str, **settings: object) -> TestServer:
    """A server for one test, which may do with it what it likes."""
    try:
        return TestServer(kind, **settings)  # type: ignore[arg-type]  # passed through
    except ServerMissing as missing:
        pytest.skip(str(missing))


async def admin(server: TestServer, *command: str | bytes, url: str = "") -> object:
    client = RespClient(parse_address(url or server.url))
    try:
        return await client.call(*command)
    finally:
        await client.close()


async def test_leader_on_an_evicting_server_is_refused_with_the_remedy(kind: str) -> None:
    options = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}
    with own_server(kind, options=options) as server:
        store = RedisLeaderStore(server.url)
        with pytest.raises(StoreUnsuitable, match="CONFIG SET maxmemory-policy noeviction"):
            await store.open()
        await admin(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        await store.open()
        await admin(server, "CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        await admin(server, "CONFIG", "SET", "maxmemory", "0")
        await store.open()  # without a bound nothing is ever evicted
        await store.close()


async def test_server_that_breaks_a_promise_while_it_is_used_is_noticed(kind: str) -> None:
    with own_server(kind, append_only=True, options={"appendfsync": "always"}) as server:
        store = RedisLeaderStore(server.url)
        await store.open()
        assert await store.health() == StoreHealth("strict")
        await admin(server, "CONFIG", "SET", "appendfsync", "everysec")
        assert "in the last second" in (await store.health()).gap
        await admin(server, "CONFIG", "SET", "appendonly", "no")
        assert "no append-only file" in (await store.health()).gap
        await admin(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        assert (await store.health()).alarms == ()  # without a bound nothing is ever evicted
        await admin(server, "CONFIG", "SET", "maxmemory", "1gb")
        (alarm,) = (await store.health()).alarms
        assert "CONFIG SET maxmemory-policy noeviction" in alarm
        await admin(server, "SET", "foreign", "x" * 100_000)
        await admin(server, "CONFIG", "SET", "maxmemory", "1")
        with contextlib.suppress(StoreError):
            await admin(server, "SET", "one", "more")
        await admin(server, "CONFIG", "SET", "maxmemory", "0")
        (alarm,) = (await store.health()).alarms
        assert "keys were evicted" in alarm
        await store.close()
        for level, gap in ((RELAXED, "no append-only file"), (REPLICATED, "no replica is connected")):
            other = RedisLeaderStore(server.url, durability=Durability(level))
            assert gap in (await other.health()).gap
            await other.close()


async def test_server_that_was_started_again_or_replaced_has_another_history(kind: str) -> None:
    with own_server(kind, append_only=True) as server:
        store = RedisLeaderStore(server.url)
        first = await store.history()
        assert (await store.history()).was == first.now
        server.kill()
        server.restart()
        with contextlib.suppress(StoreUnreachable):
            await store.history()
        again = await store.history()
        assert again.now != first.now
        await store.close()


async def test_store_without_server_is_unreachable(tmp_path: Path) -> None:
    for store in (
        RedisLeaderStore(f"unix://{tmp_path}/none", connect_timeout_ms=50),
        RedisWorkerStore(f"unix://{tmp_path}/none", connect_timeout_ms=50),
        RedisSubmitterStore(f"unix://{tmp_path}/none", connect_timeout_ms=50),
    ):
        with pytest.raises(StoreUnreachable, match="cannot connect"):
            await store.open()
        await store.close()


async def test_store_with_password_needs_it(kind: str) -> None:
    options = {"requirepass": "pass word@"}
    with own_server(kind, tcp=True, options=options) as server:
        for url in (server.url, server.tcp_url, server.url.replace("unix://", "unix://:wrong@")):
            store = RedisLeaderStore(url)
            with pytest.raises(StoreAuthRefused) as caught:
                await store.open()
            assert "wrong" not in str(caught.value)
            await store.close()
        for url in (
            server.url.replace("unix://", "unix://:pass%20word%40@"),
            server.tcp_url.replace("redis://", "redis://default:pass%20word%40@"),
        ):
            store = RedisLeaderStore(url)
            await store.open()
            await store.close()


async def test_store_uses_the_database_of_its_url(kind: str) -> None:
    with own_server(kind, tcp=True) as server:
        store = RedisLeaderStore(server.tcp_url[:-1] + "3")
        await store.open()
        await store.write_frame(b"x")
        await store.close()
        assert await admin(server, "DBSIZE") == 0
        assert await admin(server, "DBSIZE", url=server.url + "?db=3") == 2  # the picture, and the rate in meta
        missing = RedisLeaderStore(server.url + "?db=99")
        with pytest.raises(StoreError, match="out of range"):
            await missing.open()
        await missing.close()


async def test_store_on_a_replica_is_read_only(kind: str) -> None:
    with own_server(kind, options={"replica-serve-stale-data": "yes"}) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            await admin(server, "REPLICAOF", "127.0.0.1", "1")
            for call in (stage.submit("a"), stage.commit(), stage.leader.renew(stage.lease)):
                with pytest.raises(StoreReadOnly):
                    await call
            await admin(server, "REPLICAOF", "NO", "ONE")
            await stage.leader.renew(stage.lease)


async def test_full_server_refuses_submissions_and_lets_work_drain(kind: str) -> None:
    with own_server(kind) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            incarnation = await stage.worker.register("w", b"")
            await stage.submit("a")
            await admin(server, "CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(StoreOutOfMemory):
                await stage.submitter.submit([SubmitLine("b", 5, b"", b"")], "")
            await stage.leader.renew(stage.lease)
            entry = await stage.dispatch("a", "w")
            assert await stage.start("w", incarnation, "a", entry)
            assert await stage.complete("w", incarnation, "a", entry) is Receipt.ACCEPTED
            assert await stage.worker.leave("w", incarnation) == 0
            await admin(server, "CONFIG", "SET", "maxmemory", "0")
            await stage.submit("b")


async def test_killed_server_is_reconnected_by_the_next_call_and_nothing_is_lost(kind: str) -> None:
    with own_server(kind, append_only=True, options={"appendfsync": "always"}) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            incarnation = await stage.worker.register("w", b"")
            await stage.submit("a")
            entry = await stage.dispatch("a", "w")
            reading = asyncio.ensure_future(stage.leader.read({"cmd": "0-0"}, 10, 60_000))
            await asyncio.sleep(0.02)
            server.kill()
            with pytest.raises(StoreUnreachable):
                await reading
            server.restart()
            assert await stage.leader.sequence() == 1
            assert await stage.start("w", incarnation, "a", entry)
            await stage.submit("b")
            await stage.commit()


async def test_call_during_a_restart_waits_for_the_server(kind: str) -> None:
    with own_server(kind, append_only=True) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            server.stop()
            await asyncio.sleep(0.02)
            late = asyncio.ensure_future(stage.leader.sequence())
            await asyncio.sleep(0.05)
            assert not late.done()
            await asyncio.to_thread(server.restart)
            # the connection was known to be lost before the call, so it was never sent: no loss to report
            assert await late == 0


async def test_functions_flushed_are_loaded_again_and_the_call_is_made_once(kind: str) -> None:
    with own_server(kind) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            await admin(server, "FUNCTION", "FLUSH")
            plans = [CommitPlan(b"%d" % number, {}, {}, [], [], [], []) for number in range(4)]
            commits = [stage.leader.commit(stage.lease, number, plan) for number, plan in enumerate(plans)]
            assert await asyncio.gather(*commits) == [1, 2, 3, 4]
            await admin(server, "FUNCTION", "FLUSH")
            await asyncio.gather(stage.submit("a"), stage.worker.register("w", b""))
            assert len(await stage.entries("q:5")) == 1
            assert len(await stage.entries("rep")) == 1


async def library_text(server: TestServer) -> bytes:
    listed = await admin(server, "FUNCTION", "LIST", "WITHCODE")
    assert isinstance(listed, list)
    return bytes(listed[0][listed[0].index(b"library_code") + 1])


async def test_library_of_another_text_is_replaced_by_the_leader_only(kind: str) -> None:
    other = b"#!lua name=nexus_v1\nredis.register_function('nx_acquire', function() return {0, '7', '8'} end)\n"
    with own_server(kind) as server:
        await admin(server, "FUNCTION", "LOAD", other)
        worker, leader = RedisWorkerStore(server.url), RedisLeaderStore(server.url)
        await worker.open()
        assert await library_text(server) == other
        await leader.open()
        assert await library_text(server) == LIBRARY_TEXT
        assert isinstance(await leader.acquire("a", "n", None), Lease)
        await worker.register("w", b"")
        await worker.close()
        await leader.close()


async def test_library_of_a_later_version_is_never_replaced_by_an_earlier_one(kind: str) -> None:
    """An earlier scheduler starts, leads, and misses a function that was flushed while a later one loads its own."""
    later = LIBRARY_TEXT.replace(b"local REVISION = %d" % REVISION, b"local REVISION = %d" % (REVISION + 1), 1)
    with own_server(kind) as server:
        await admin(server, "FUNCTION", "LOAD", later)
        leader, other = RedisLeaderStore(server.url), RedisLeaderStore(server.url, shard=1)
        await leader.open()
        assert isinstance(await leader.acquire("a", "n", None), Lease)
        await leader.health()
        assert await library_text(server) == later
        lacking = later.replace(b"'nx_renew'", b"'nx_renewed_otherwise'", 1)
        await admin(server, "FUNCTION", "LOAD", "REPLACE", lacking)
        with pytest.raises(StoreError, match="Function not found"):  # misses it, and loads nothing over what is later
            await other.renew(Lease(1, "b", "n", 0))
        assert await library_text(server) == lacking
        await leader.close()
        await other.close()


async def test_library_that_an_earlier_version_put_back_is_replaced_by_the_leader(kind: str) -> None:
    earlier = LIBRARY_TEXT.replace(b"local REVISION = %d" % REVISION, b"-- no revision yet", 1)
    with own_server(kind) as server:
        leader = RedisLeaderStore(server.url)
        await leader.open()
        await admin(server, "FUNCTION", "LOAD", "REPLACE", earlier)
        await leader.health()
        assert await library_text(server) == LIBRARY_TEXT
        await leader.close()


async def test_shard_of_a_later_protocol_is_not_led(server: TestServer, pool: str) -> None:
    store = RedisLeaderStore(server.url, pool, 0)
    await store.open()
    assert isinstance(await store.acquire("a", "n", None), Lease)
    await admin(server, "HSET", store.keys.meta.decode(), "format", "2")
    before = await admin(server, "HGETALL", store.keys.meta.decode())
    with pytest.raises(ProtocolNewer, match="protocol 2, and this is 1"):
        await store.acquire("a", "n", None)
    assert await admin(server, "HGETALL", store.keys.meta.decode()) == before
    await store.close()
    shard = MemoryShard()
    shard.format = 2
    with pytest.raises(ProtocolNewer, match="protocol 2, and this is 1"):
        shard.acquire("a", "n", None)


async def test_dispatch_is_published_if_asked_for(server: TestServer, pool: str) -> None:
    store = RedisLeaderStore(server.url, pool, 0, publish=True)
    submitter = RedisSubmitterStore(server.url, pool, 0)
    await store.open()
    await submitter.open()
    lease = await store.acquire("a", "n", None)
    assert isinstance(lease, Lease)
    messages: list[list[bytes]] = []
    connection = await dial(parse_address(server.url), messages.append)
    connection.write(pack(("SUBSCRIBE", "nexus:dispatch:w")))
    async with asyncio.timeout(5):
        while not messages:
            await asyncio.sleep(0.002)
    await submitter.submit([LINE], "")
    await store.commit(lease, 0, CommitPlan(b"", {}, {}, [DispatchLine("w", "a", 2)], [], [], []))
    async with asyncio.timeout(5):
        while len(messages) < 2:
            await asyncio.sleep(0.002)
    assert messages[1][:2] == [b"message", b"nexus:dispatch:w"]
    assert json.loads(messages[1][2]) == {"task_id": "a", "attempt": 2}
    connection.lose("done")
    await connection.closed
    await submitter.close()
    await store.close()


async def test_subscription_lost_is_told_and_can_be_renewed(kind: str) -> None:
    with own_server(kind) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.submitter.subscribed("me")
            ends = stage.submitter.ended("me")
            waiting = asyncio.ensure_future(anext(ends))
            await asyncio.sleep(0.02)
            await admin(server, "CLIENT", "KILL", "TYPE", "pubsub")
            with pytest.raises(StoreUnreachable):
                await waiting
            await stage.submitter.subscribed("me")
            await admin(server, "PUBLISH", "nexus:done:me", b"\xff hostile")
            await admin(server, "PUBLISH", "nexus:done:me", "a succeeded 1x")
            assert await anext(stage.submitter.ended("me")) == ("a", "succeeded", b"x")


async def test_ended_tasks_and_results_expire(server: TestServer, pool: str) -> None:
    factory = RedisFactory(server.url, pool)
    async with Stage(factory) as stage:
        await stage.lead()
        worker = RedisWorkerStore(server.url, pool, 0, result_ttl_s=77)
        await worker.open()
        incarnation = await worker.register("w", b"")
        await stage.submit("a")
        entry = await stage.dispatch("a", "w")
        await worker.step("w", incarnation, b"", [], [StartLine("a", 1, entry)])
        line = CompletionLine("a", 1, entry, True, Outcome.SUCCEEDED, b"", b"result")
        await worker.step("w", incarnation, b"", [line], [])
        keys = factory.leader().keys
        for key in (keys.task("a"), keys.result("a")):
            assert 70 < int(str(await admin(server, "TTL", key))) <= 77
        assert await admin(server, "EXISTS", keys.key(b"p:a")) == 0
        await worker.close()


async def test_malformed_calls_of_other_clients_write_nothing(server: TestServer, pool: str) -> None:
    async with Stage(RedisFactory(server.url, pool)) as stage:
        await stage.lead()
        await stage.worker.register("w", b"")
        before = await stage.leader.heartbeats()
        keys = RedisFactory(server.url, pool).leader().keys
        head = ("1", keys.meta, keys.prefix)
        for function, *arguments in (
            ("nx_submit", "9", "9", "", "x"),
            ("nx_submit", "9", "9", "", "2", "a", "5", "", ""),
            ("nx_submit", "9", "9", "", "2", "a", "5", "", "", "b", "55", "", ""),
            ("nx_submit", "9", "9", "", "2", "a", "5", "", "", "b c", "5", "", ""),
            ("nx_step", "w", "1", "9", "", "x"),
            ("nx_step", "w", "1", "9", "", "-1"),
            ("nx_step", "w", "1", "9", "", "1", "a", "1", "1-0"),
            ("nx_step", "w", "1", "9", "", "0", "a", "one", "1-0"),
            ("nx_step", "w", "1", "9", "", "1", "a", "one", "1-0", "1", "", "", ""),
        ):
            with pytest.raises(StoreError, match="NXARGS"):
                await admin(server, "FCALL", function, *head, *arguments)
        assert await stage.leader.heartbeats() == before
        assert await stage.state("a") == ""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl in PATH to make a certificate with")
    directory = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=directory, check=True, capture_output=True)
    yield directory


async def test_store_speaks_tls_and_checks_the_certificate(certificate: Path) -> None:
    options = {
        "tls-cert-file": str(certificate / "cert.pem"),
        "tls-key-file": str(certificate / "key.pem"),
        "tls-ca-cert-file": str(certificate / "cert.pem"),
        "tls-auth-clients": "no",
    }
    server = own_server("redis", tcp=True, tls=True, options=options)
    with server:
        url = server.tcp_url.replace("redis://", "rediss://")
        trusting = RedisSubmitterStore(f"{url}?ssl_ca_certs={certificate / 'cert.pem'}")
        await trusting.open()
        assert await trusting.submit([LINE], "") == [Acceptance.ACCEPTED]
        await trusting.close()
        doubting = RedisSubmitterStore(url, connect_timeout_ms=200)
        with pytest.raises(StoreUnreachable, match="certificate"):
            await doubting.open()
        await doubting.close()
        careless = RedisSubmitterStore(f"{url}?ssl_cert_reqs=none")
        await careless.open()
        await careless.close()


async def test_retract_function_takes_back_what_has_not_started(server: TestServer, pool: str) -> None:
    async with Stage(RedisFactory(server.url, pool)) as stage:
        lease = await stage.lead()
        incarnation = await stage.worker.register("w", b"")
        await stage.submit("idle", "runs")
        idle, runs = await stage.dispatch("idle", "w"), await stage.dispatch("runs", "w")
        await stage.start("w", incarnation, "runs", runs)
        keys = RedisFactory(server.url, pool).leader().keys
        head = ("FCALL", "nx_retract", "1", keys.meta, keys.prefix, str(lease.epoch))
        lines = ("w", idle, "idle", "1", "w", runs, "runs", "1")
        assert await admin(server, *head, "other", *lines) == [b"FENCED"]
        assert await admin(server, *head, lease.nonce, *lines) == [1, 0]
        assert [fields["i"] for _, fields in await stage.entries("q:r")] == [b"idle"]
