"""Workers through a gateway: real processes, a worker that reaches nothing else, and one that only reports."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import grpc

from nexus_sched.client import AsyncClient
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


async def _until(look, wanted: list[str]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await look() != wanted:
            await asyncio.sleep(0.05)
