"""Clients that mean ill, in numbers: idle connections, slow heads, bombs; and one client that only wants to be served.

Memory is the most that the gateway ever had in use, above what it had after its first requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter

from benchmarks.gateway.arrivals import SATURATION, arrive
from benchmarks.gateway.options import Options
from benchmarks.gateway.site import Door, set_up
from benchmarks.gateway.wire import Wire, connect, get
from benchmarks.throughput.processor import resident_bytes_max
from nexus_sched.units import MS_PER_S

MIB = 2**20
HEAD_TIMEOUT_S = 2.0
DIAL_AT_ONCE = 200
PROBE_S = 0.05
WARM_REQUESTS = 100
BOMB_BYTES = 100 * MIB
ANSWER_S = 10.0
HEAD = b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_FLOOD = b"a" * 65_536
_CHUNK = b"%x\r\n%s\r\n" % (len(_FLOOD), _FLOOD)
_NESTED = b'{"type":"a","args":' + b"[" * 1_000_000
# What is sent first, what then, how often, and which statuses are an answer; 0 is being cut off without one.
BOMBS: dict[str, tuple[bytes, bytes, int, set[int]]] = {
    "one header": (HEAD + b"X-Bomb: ", _FLOOD, BOMB_BYTES // len(_FLOOD), {0, 431}),
    "many headers": (HEAD, b"X-Many: x\r\n" * 1_000, BOMB_BYTES // 11_000, {0, 400, 431}),
    "body": (HEAD + b"Content-Length: %d\r\n\r\n" % BOMB_BYTES, _FLOOD, BOMB_BYTES // len(_FLOOD), {0, 413}),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", _CHUNK, BOMB_BYTES // len(_FLOOD), {0, 413}),
    "nested": (HEAD + b"Content-Length: %d\r\n\r\n" % len(_NESTED), _NESTED, 1, {400, 413}),
}


class Probe:
    """Somebody who only wants to be served, all the time."""

    def __init__(self, url: str) -> None:
        self.latencies_ms: list[float] = []
        self.statuses: Counter[int] = Counter()
        self._url = url

    async def run(self) -> None:
        """Ask until cancelled; every time on a connection of its own."""
        while True:
            began_s = time.monotonic()
            wire = await connect(self._url)
            try:
                answer = await wire.ask(get("/v1/config"))
            finally:
                wire.close()
            self.statuses[answer.status] += 1
            self.latencies_ms.append((time.monotonic() - began_s) * MS_PER_S)
            await asyncio.sleep(PROBE_S)


async def abused(options: Options) -> dict[str, object]:
    """What each kind of abuse costs, and how those beside it were served."""
    async with set_up() as site:
        door = await site.gateway(f"http.head_timeout={HEAD_TIMEOUT_S:g}s")
        return await site.guarded(_abused(door, options))


async def _abused(door: Door, options: Options) -> dict[str, object]:
    await arrive(door.url, lambda _: get("/v1/config"), WARM_REQUESTS, SATURATION, 1)
    before = resident_bytes_max(door.pid)
    probe = Probe(door.url)
    probing = asyncio.ensure_future(probe.run())
    growth: dict[str, float] = {}

    def note(kind: str) -> None:
        growth[kind] = round((resident_bytes_max(door.pid) - before) / MIB, 1)

    wires: list[Wire] = []
    try:
        for first in range(0, options.connections, DIAL_AT_ONCE):
            dialled = min(DIAL_AT_ONCE, options.connections - first)
            wires += await asyncio.gather(*(connect(door.url) for _ in range(dialled)))
        await asyncio.sleep(PROBE_S)
        idle = sum(wire.open for wire in wires)
        note("idle")
        cut_off = await _slow_heads(wires)
        note("slow heads")
        answers = {name: [await _bomb(door, name) for _ in range(options.bombs)] for name in BOMBS}
        note("bombs")
        if probing.done():
            probing.result()
    finally:
        probing.cancel()
        for wire in wires:
            wire.close()
        await asyncio.gather(probing, return_exceptions=True)
    return {
        "idle": idle,
        "cut_off": cut_off,
        "answers": {name: sorted(set(statuses)) for name, statuses in answers.items()},
        "answered_well": all(set(statuses) <= BOMBS[name][3] for name, statuses in answers.items()),
        "growth_mib": growth,
        "served": dict(probe.statuses),
        "served_max_ms": round(max(probe.latencies_ms), 1),
    }


async def _slow_heads(wires: list[Wire]) -> int:
    """Begin a request on each connection and never end it; how many were cut off in time."""
    for first in range(0, len(wires), DIAL_AT_ONCE):
        for wire in wires[first : first + DIAL_AT_ONCE]:
            wire.write(HEAD + b"X-Slow: ")
        await asyncio.sleep(0)
    give_up_at_s = time.monotonic() + 3 * HEAD_TIMEOUT_S
    while any(wire.open for wire in wires) and time.monotonic() < give_up_at_s:
        await asyncio.sleep(PROBE_S)
    return sum(not wire.open for wire in wires)


async def _bomb(door: Door, name: str) -> int:
    """The status that answers it; 0 if the connection was closed without one."""
    first, chunk, times, _ = BOMBS[name]
    reader, writer = await asyncio.open_connection(*door.address)
    try:
        async with asyncio.timeout(ANSWER_S):
            with contextlib.suppress(ConnectionError):  # nobody listens any more: there may be an answer all the same
                writer.write(first)
                for _ in range(times):
                    writer.write(chunk)
                    await writer.drain()
            with contextlib.suppress(ConnectionError):
                line = (await reader.readline()).split()
                return int(line[1]) if line else 0
            return 0
    finally:
        writer.transport.abort()
