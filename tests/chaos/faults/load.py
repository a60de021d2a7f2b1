"""Too many tasks, tasks that are none, and a wall clock that jumps."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

from nexus_sched.runtime.ports import INPUT_STREAMS
from tests.chaos.faults.servers import moving_again
from tests.chaos.options import Stuck
from tests.chaos.stage import Stage

FLOOD_TIMEOUT_S = 20.0
HOSTILE_ENTRIES = 50
HOSTILE_TIMEOUT_S = 15.0
FIELDS = (b"i", b"m", b"b", b"f", b"w", b"n", b"k", b"a", b"y", b"\xff", b"")
VALUES = (
    *(b"nobody", b"", b"\xff\xfe", b"-1", b"nan", b"x" * 300, b"a b", b"worker-lost", b"join", b"\x00"),
    *(b"\x80", b"\xc0", b"\xc1", b"\x81\xa4type", b"\x81\xa4type\xa1a", b"\x91" * 5_000 + b"\xc0"),
)
CLOCK_FILE = "clock"
LIBRARIES = ("/usr/lib", "/usr/local/lib")
JUMP_S_MAX = 36_000
SEEN_TIMEOUT_S = 5.0
TOLERANCE_S = 5.0
POLL_S = 0.05


async def flood(stage: Stage) -> float | None:
    """Twenty times the rate for a second, against a short queue: some must be told to come again."""
    busy = stage.refusals().count("BUSY")
    stage.producer.signal(signal.SIGUSR1)
    give_up_at_s = time.monotonic() + FLOOD_TIMEOUT_S
    while stage.refusals().count("BUSY") == busy:
        if time.monotonic() > give_up_at_s:
            return None
        await asyncio.sleep(POLL_S)
    return await moving_again(stage)


async def send_garbage(stage: Stage) -> float | None:
    """Entries that no producer or worker of ours would write, in every stream that the leader reads."""
    for _ in range(HOSTILE_ENTRIES):
        stream = stage.random.choice(INPUT_STREAMS)
        await stage.server.call("XADD", stage.keys.inputs[stream], "*", *_garbage(stage.random))
    span_s = await moving_again(stage)
    give_up_at_s = time.monotonic() + HOSTILE_TIMEOUT_S
    while any([await stage.server.call("XLEN", stage.keys.inputs[stream]) for stream in ("res", "cmd", "q:r")]):
        if time.monotonic() > give_up_at_s:
            raise Stuck("garbage stays in the streams")
        await asyncio.sleep(POLL_S)
    return span_s


def _garbage(chance: random.Random) -> list[bytes]:
    pairs = chance.randint(1, 5)
    return [part for _ in range(pairs) for part in (chance.choice(FIELDS), chance.choice(VALUES))]


def clock_library() -> Path | None:
    """libfaketime, if it is installed."""
    found = (path for place in LIBRARIES for path in sorted(Path(place).glob("**/faketime/libfaketime.so.1")))
    return next(found, None)


def clock_environment() -> dict[str, str]:
    """What makes a process read its wall clock, and only that, from a file."""
    return {
        "LD_PRELOAD": str(clock_library() or ""),
        "FAKETIME_TIMESTAMP_FILE": "{directory}/" + CLOCK_FILE,
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


async def jump(stage: Stage) -> float | None:
    """The wall clock of the server and all processes jumps by hours, back or forth."""
    offset_s = stage.random.randint(-JUMP_S_MAX, JUMP_S_MAX)
    told = stage.directory / (CLOCK_FILE + ".new")
    told.write_text(f"{offset_s:+d}\n")
    told.replace(stage.directory / CLOCK_FILE)
    give_up_at_s = time.monotonic() + SEEN_TIMEOUT_S
    while time.monotonic() < give_up_at_s:
        seconds, _ = await stage.server.call("TIME")
        if abs(int(seconds) - time.time() - offset_s) < TOLERANCE_S:
            return await moving_again(stage)
        await asyncio.sleep(POLL_S)
    return None
