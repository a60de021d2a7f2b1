"""Workers through a gateway: real processes, a worker that reaches nothing else, and one that only reports."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import grpc

from nexus_sched.adapters.redis import RedisPoolStore
from nexus_sched.client import AsyncClient
from nexus_sched.errors import PoolUnknown
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.programs import Program, Programs
from tests.unit.gateway.grpc.bench import Caller, capacity

TIMEOUT_S = 20.0
DOOR = (
    *("run", "--role", "gateway", "--insecure-no-auth", "--set", "http.enabled=false"),
    *("--set", "grpc.enabled=true"),
)


def target_of(gateway: Program) -> str:
    """Where it listens, once it has said it."""
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while (found := re.search(r"by gRPC at (\S+)\.\n", gateway.output)) is None:
        assert time.monotonic() < give_up_at_s, gateway.output
        assert not gateway.ended(), gateway.output
        time.sleep(0.02)
    return found[1]


async def test_worker_works_through_a_gateway_alone_and_through_the_death_of_one(tmp_path: Path):
    diary = tmp_path / "diary"
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "door", tmp_path)
        try:
            programs.scheduler()
            gateway = await asyncio.to_thread(programs.start, *DOOR, "--set", "grpc.port=0")
            target = await asyncio.to_thread(target_of, gateway)
            port = target.rpartition(":")[2]
            log = tmp_path / "worker.log"
            arguments = ("tests.integration.worker_application:app", "--id", "outside", "--slots", "2")
            unreachable = ("--redis-url", "redis://127.0.0.1:1/0")  # it needs nothing but the gateway
            worker = Program(log, ("worker", *arguments, "--gateway", target, *unreachable))
            try:
                async with AsyncClient(server.url, pool="door") as client:
                    first = await client.submit("awaiting", str(diary), 0.01)
                    assert await first.result(timeout=TIMEOUT_S) == "awaited"
                    running = await client.submit("blocking", str(diary), 1.0)
                    while diary.read_text().count("begin") < 2:
                        await asyncio.sleep(0.02)
                    await asyncio.to_thread(gateway.kill)
                    await asyncio.to_thread(programs.start, *DOOR, "--set", f"grpc.port={port}")
                    assert await running.result(timeout=TIMEOUT_S) == "blocked"
                    assert diary.read_text().split() == ["begin", "end"] * 2  # once each
                worker.terminate()
                assert await asyncio.to_thread(worker.wait) == 0
                assert "stopped" in worker.output
            finally:
                worker.kill()
        finally:
            programs.close()


async def test_worker_that_only_reports_outlives_what_would_kill_others(tmp_path: Path):
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "reports", tmp_path)
        try:
            programs.scheduler("scheduler.suspect=200ms", "scheduler.dead=500ms", "worker.heartbeat=80ms")
            settings = ("--set", "grpc.port=0", "--set", "grpc.heartbeat_timeout=3s")
            gateway = await asyncio.to_thread(programs.start, *DOOR, *settings)
            target = await asyncio.to_thread(target_of, gateway)
            async with (
                grpc.aio.insecure_channel(target) as channel,
                AsyncClient(server.url, pool="reports") as client,
            ):
                caller = Caller(channel)
                await caller.say(caller.stream(), capacity("w1", cpu=0.3, offer={"slots": 3}))

                async def listed() -> list[str]:
                    frame = await client.status()
                    return [] if frame is None else [worker.worker for worker in frame.workers]

                await _until(listed, ["w1"])
                await asyncio.sleep(1.5)
                assert await listed() == ["w1"]
                await _until(listed, [])
        finally:
            programs.close()


async def test_pools_of_several_shards_are_served_through_one_door(tmp_path: Path):
    """Two pools, of three shards and of one: every shard gets a worker, every task ends, and pools are kept apart."""
    tables = ("--set", "pools.wide.shards=3", "--set", "pools.narrow.shards=1")
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "wide", tmp_path)
        outside: list[Program] = []
        try:
            programs.scheduler(*tables[1::2])
            gateway = await asyncio.to_thread(programs.start, *DOOR, "--set", "grpc.port=0", *tables)
            target = await asyncio.to_thread(target_of, gateway)
            for name, pool in {"w1": "wide", "w2": "wide", "w3": "wide", "n1": "narrow", "lost": "other"}.items():
                arguments = ("tests.integration.application:app", "--id", name, "--slots", "2", "--gateway", target)
                own = ("--redis-url", "redis://127.0.0.1:1/0", "--set", f"pool.name={pool}")
                outside.append(Program(tmp_path / f"{name}.log", ("worker", *arguments, *own)))
            async with (
                AsyncClient(server.url, pool="wide") as wide,
                AsyncClient(server.url, pool="narrow") as narrow,
                grpc.aio.insecure_channel(target) as channel,
            ):
                await _until(lambda: _workers(wide), ["w1", "w2", "w3"])
                caller = Caller(channel, pool="wide")
                names = [f"r{number}" for number in range(6)]
                stream = caller.stream()
                taken = await caller.say(stream, *(capacity(name, offer={"taints": ["reports"]}) for name in names))
                assert {receipt.status for receipt in taken} == {messages.REPORT_STATUS_ACCEPTED}
                handles = [await wide.submit("where") for _ in range(60)] + [await narrow.submit("where")]
                ran = [await handle.result(timeout=TIMEOUT_S) for handle in handles]
                lost = outside.pop()
                assert await asyncio.to_thread(lost.wait) == PoolUnknown.exit_code
                assert "pool 'other' is not served here: narrow, wide" in lost.output
                *in_wide, in_narrow = (program.pid for program in outside)
                assert ({*ran[:-1]}, ran[-1]) == ({*in_wide}, in_narrow)
                pool = RedisPoolStore(server.url, "wide")
                places = await pool.placements()
                await pool.close()
                assert sorted(places[name].shard for name in ("w1", "w2", "w3")) == [0, 1, 2]
                assert {places[name].shard for name in names} == {0, 1, 2}
                await _until(lambda: _workers(wide), [*names, "w1", "w2", "w3"])
                again = [capacity(each.worker, each.incarnation, cpu=0.5) for each in taken]
                heard = await caller.say(stream, *again, capacity("nobody", 7))
                assert [each.status for each in heard[:-1]] == [messages.REPORT_STATUS_ACCEPTED] * len(names)
                assert heard[-1].status == messages.REPORT_STATUS_FENCED
                for program in outside:
                    program.terminate()
                await _until(lambda: _workers(narrow), [])
            assert [await asyncio.to_thread(program.wait) for program in outside] == [0, 0, 0, 0]
        finally:
            for program in outside:
                program.kill()
            programs.close()


async def _workers(client: AsyncClient) -> list[str]:
    frame = await client.status()
    return [] if frame is None else sorted(worker.worker for worker in frame.workers)


async def _until(look, wanted: list[str]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await look() != wanted:
            await asyncio.sleep(0.05)
