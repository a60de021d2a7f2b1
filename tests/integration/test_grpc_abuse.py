"""Clients of the gRPC door that mean ill, or are only slow: they get nowhere, and everybody else is served.

Each story is told to a gateway of its own process: how much memory that takes is known then, and what it logs. The long
form, with ten thousand streams and connections, is `make abuse`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import grpc
import psutil
import pytest

from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.proto.service import REGISTER, REPORT
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration import http2
from tests.integration.http2 import Raw
from tests.integration.programs import Program, Programs
from tests.integration.test_grpc import target_of
from tests.unit.gateway.grpc.bench import Caller

MIB = 2**20
CONNECTIONS = int(os.environ.get("NEXUS_ABUSE_CONNECTIONS", "300"))
STREAMS = int(os.environ.get("NEXUS_ABUSE_STREAMS", "1000"))
FRAMES = 10 * STREAMS
PINGS = 5_000
STREAMS_A_CONNECTION = 500
GROWTH_BYTES_MAX = 100 * MIB
SERVED_WITHIN_S = 5.0  # whoever tries again while others flood; hundreds of times what it takes without
PAUSE_S = 0.05
CUT_OFF_S = 20.0


class Door(NamedTuple):
    """A gateway's process, and a token of a worker."""

    target: str
    process: Program
    token: str


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("abuse")
    token, row = tokens.create("worker", Role.WORKER, tokens.now_utc(), None)
    tokens.write(directory / "tokens", [row])
    settings = {
        "http.enabled": "false",
        "http.auth.tokens_file": str(directory / "tokens"),
        "grpc.enabled": "true",
        "grpc.port": "0",
        "grpc.handshake_timeout": "500ms",
        "grpc.calls_max": str(STREAMS // 5),  # fewer than will be opened
        "grpc.streams_max": str(STREAMS // 5),
        "pools.abuse.shards": "1",
    }
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "abuse", directory)
        try:
            flags = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
            gateway = programs.start("run", "--role", "gateway", *flags)
            yield Door(target_of(gateway), gateway, token)
        finally:
            programs.close()


@contextlib.asynccontextmanager
async def others_are_served(door: Door) -> AsyncIterator[None]:
    """While the block runs: another worker is served in time, memory stays, and nothing is logged."""
    process = psutil.Process(door.process.pid)
    highest = 0

    async def working(caller: Caller) -> None:
        nonlocal highest
        while True:
            give_up_at_s = time.monotonic() + SERVED_WITHIN_S
            while True:
                try:
                    await caller.call(REGISTER, worker="other", timeout=SERVED_WITHIN_S)
                    break
                except grpc.aio.AioRpcError:
                    assert time.monotonic() < give_up_at_s, "nobody else is served"
                    await asyncio.sleep(PAUSE_S)
            highest = max(highest, process.memory_info().rss)
            await asyncio.sleep(PAUSE_S)

    async with grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel, door.token)
        await caller.call(REGISTER, worker="other", timeout=SERVED_WITHIN_S)
        before, logged = process.memory_info().rss, door.process.output
        other = asyncio.create_task(working(caller))
        try:
            yield
        finally:
            await asyncio.sleep(4 * PAUSE_S)  # it is served behind all that as well
            other.cancel()
            (ended,) = await asyncio.gather(other, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
    assert highest - before < GROWTH_BYTES_MAX, f"{(highest - before) / MIB:.0f} MiB more"
    assert door.process.output == logged


async def flood(door: Door, first: bytes, blob: bytes, times: int) -> Raw:
    """Send as much of this as is taken."""
    raw = await Raw.connect(door.target)
    await until(lambda: raw.frames)  # the other side has begun as well
    await raw.send(first)
    for number in range(times):
        if not await raw.send(blob):
            break
        if not number % 10:
            await asyncio.sleep(0)  # what is answered has to be read
    return raw


async def test_flood_of_pings_is_cut_off(door: Door):
    async with others_are_served(door):
        raw = await flood(door, b"", http2.frame(http2.PING, 0, 0, bytes(8)) * 10, 1)
        assert await raw.cut_off(CUT_OFF_S)
        assert raw.goaway == http2.ENHANCE_YOUR_CALM
        raw = await flood(door, b"", http2.frame(http2.PING, 0, 0, bytes(8)) * 100, PINGS // 100)
        assert await raw.cut_off(CUT_OFF_S)
        raw = await Raw.connect(door.target)  # all of it in the first breath: answered in parts, and then cut off
        await raw.send(http2.frame(http2.PING, 0, 0, bytes(8)) * PINGS)
        await until(lambda: raw.goaway == http2.ENHANCE_YOUR_CALM)
        await raw.close()


async def test_head_of_a_call_that_has_no_end_takes_no_memory(door: Door):
    """Only what fits into a head is kept; whoever stops in the middle is cut off as one that answers no ping."""
    async with others_are_served(door):
        begun = http2.call(1, REGISTER, flags=0)
        more = http2.frame(http2.CONTINUATION, 0, 1, http2.field(b"x", bytes(100)) * 100)
        raw = await flood(door, begun, more, 2 * FRAMES)  # 20 kB for each of so many
        await raw.close()


async def test_frames_that_mean_nothing_are_looked_at_as_they_come(door: Door):
    async with others_are_served(door):
        raw = await flood(door, b"", http2.frame(http2.UNKNOWN, 0, 0, bytes(1_000)) * 100, STREAMS)
        await raw.close()


async def test_who_connects_and_says_nothing_or_a_byte_at_a_time_is_cut_off(door: Door):
    async with others_are_served(door):
        silent = [await Raw.connect(door.target, hello=False) for _ in range(CONNECTIONS)]
        slow = [await Raw.connect(door.target, hello=False) for _ in range(20)]
        for byte in http2.PREFACE + http2.frame(http2.SETTINGS):
            if not any([await raw.send(bytes((byte,))) for raw in slow]):
                break
            await asyncio.sleep(PAUSE_S)
        cut_off = await asyncio.gather(*(raw.cut_off(CUT_OFF_S) for raw in (*silent, *slow)))
        assert all(cut_off)


async def test_streams_that_say_nothing_make_room_for_who_does(door: Door):
    async with others_are_served(door):
        open_ones = []
        for first in range(0, STREAMS, STREAMS_A_CONNECTION):
            raw = await Raw.connect(door.target)
            open_ones.append(raw)
            for number in range(min(STREAMS_A_CONNECTION, STREAMS - first)):
                await raw.send(http2.call(2 * number + 1, REPORT if number % 2 else REGISTER, door.token))
        await asyncio.sleep(1.0)
        refused = sum(raw.frames.get(http2.RST_STREAM, 0) for raw in open_ones)
        assert refused >= STREAMS // 2  # there is room for two fifths of them
    for raw in open_ones:
        await raw.close()


async def test_calls_that_are_taken_back_at_once_cost_nothing(door: Door):
    async with others_are_served(door):
        raw = await Raw.connect(door.target)
        for stream in range(1, 2 * FRAMES, 200):
            ids = range(stream, stream + 200, 2)
            await raw.send(b"".join(http2.call(each, REGISTER, door.token) + http2.reset(each) for each in ids))
            await asyncio.sleep(0)
        await raw.close()


async def test_message_that_is_too_large_is_refused_before_it_is_there(door: Door):
    async with others_are_served(door):
        raw = await Raw.connect(door.target)
        announced = http2.frame(http2.DATA, 0, 1, http2.message(100 * MIB, bytes(100)))
        await raw.send(http2.call(1, REGISTER, door.token) + announced)
        await until(lambda: raw.frames.get(http2.RST_STREAM))
        await raw.close()
        async with grpc.aio.insecure_channel(door.target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await Caller(channel, door.token).call(REGISTER, worker="w", offer=bytes(100 * MIB), timeout=CUT_OFF_S)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_message_of_a_stranger_is_not_read(door: Door):
    """What would be taken of a worker, 100 times 16 kB of 15 MB, is not of somebody without a token."""
    async with others_are_served(door):
        raw = await Raw.connect(door.target)
        for number in range(100):
            begun = http2.frame(http2.DATA, 0, 2 * number + 1, http2.message(15 * MIB, bytes(600)))
            await raw.send(http2.call(2 * number + 1, REPORT if number % 2 else REGISTER) + begun)
        await until(lambda: raw.frames.get(http2.RST_STREAM, 0) == 100)
        await raw.close()


async def test_messages_that_are_none_are_refused_without_a_word_in_the_log(door: Door):
    async with others_are_served(door):
        raw = await Raw.connect(door.target)
        for number in range(200):
            none = http2.frame(http2.DATA, http2.END_STREAM, 2 * number + 1, http2.message(5, b"\xff" * 5))
            await raw.send(http2.call(2 * number + 1, REPORT if number % 2 else REGISTER, door.token) + none)
            await asyncio.sleep(0)
        await until(lambda: raw.frames.get(http2.HEADERS, 0) >= 200)
        await raw.close()


async def until(holds) -> None:
    async with asyncio.timeout(CUT_OFF_S):
        while not holds():
            await asyncio.sleep(0.01)
