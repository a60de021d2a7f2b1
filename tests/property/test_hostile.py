"""More than twenty thousand hostile messages: each becomes an event, each refusal has a reason, is counted and kept,
and the tasks between them run as if nothing had been there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import msgspec
import pytest

from nexus_sched.model.command import Ask, CancelTask, CordonWorker, ResumeWorker, encode_command
from nexus_sched.model.events import TaskRefused
from nexus_sched.model.outcome import Completion, Reason
from nexus_sched.model.question import AskWhy
from nexus_sched.runtime.inputs import BLOB_BYTES_MAX, events_of
from nexus_sched.runtime.ports import INPUT_STREAMS
from nexus_sched.testing.checks import bookings_differ, conserves_work, places_differ
from nexus_sched.testing.world import World

encode = msgspec.msgpack.encode
MESSAGES = 24_000
ROUNDS = 60
SEEDS = range(4)

DEMANDS: dict[str, object] = {
    "requires": [["zone", "in", ["a", "b"]], ["disk", "above", ["100"], 50.0]],
    "tolerates": ["spot"],
    "resources": {"memory": 2.0**30, "gpu": 1},
    "tenant": "t1",
    "key": "k1",
    "deadline_ms": 5e3,
    "deadline_strict": True,
}
OFFERS: dict[str, object] = {"slots": 2, "labels": {"zone": "a"}, "taints": ["spot"], "resources": {"gpu": 1}}
COMMANDS = [
    CancelTask("foreign"),
    CordonWorker("w9", True, "why"),
    ResumeWorker("w9", "why"),
    Ask("r1", AskWhy("foreign", "w9")),
]

Fields = dict[bytes, bytes]


def whole(stream: str, random: Random) -> Fields:
    """A message of this stream as it should be, about nobody we know."""
    name = b"foreign-%d" % random.randrange(10**6)
    if stream == "q:r":
        return {b"i": name, b"a": b"1", b"w": b"w9", b"y": b"worker-lost", b"n": b"1"}
    if stream == "res":
        return {b"i": name, b"w": b"w9", b"a": b"1", b"f": encode(Completion(run_ms=5.0))}
    if stream == "rep":
        kind, fact = random.choice([(b"report", {"running": 1}), (b"join", OFFERS)])
        return {b"k": kind, b"w": b"w0", b"n": b"77", b"f": encode(fact)}
    if stream == "cmd":
        return {b"f": encode_command(random.choice(COMMANDS))}
    return {b"i": name, b"m": encode({"type": "kind", "hint_ms": 5.0} | random.choice([{}, DEMANDS])), b"b": b"1"}


def blob_of(stream: str) -> bytes:
    return b"m" if stream[:2] == "q:" else b"f"


def nested(random: Random) -> bytes:
    opener = random.choice([b"\x91", b"\x81\xa1k", b"\x81\xa4type", b"\x82\xa4type\xa4kind\xa1x" + b"\x91" * 40])
    return opener * random.choice([1_500, 2_500, 5_000]) + b"\xc0"


def twice(random: Random) -> bytes:
    pair = random.choice(
        [encode("type") + encode("kind"), encode("run_ms") + encode(1.0), encode("kind") + encode("x")]
    )
    return b"\x82" + pair + pair


def wrong_numbers(random: Random) -> bytes:
    number = random.choice([math.nan, math.inf, -math.inf, -1, -0.001, -(2**63), 1e300, 2**64 - 1, "7", None, True])
    keys = ("hint_ms", "timeout_ms", "max_attempts", "run_ms", "queue_ms", "result_bytes", "slots", "running", "cpu")
    document = dict.fromkeys(random.sample(keys, 4), number)
    return encode({"type": 7, "outcome": 9, "kind": 1, "slots": -1, "running": -1} | document)


def wrong_demands(random: Random) -> bytes:
    """As a description it asks for what makes no sense, as anything else it is no better."""
    name = random.choice(["", "no blanks", "x" * 129, "a,b", "\u4e94", "a\x00", 7, None])
    number = random.choice([math.nan, math.inf, -1, -0.5, 1e300, "1", None])
    condition = random.choice(
        [
            *([name, "exists"], ["gpu", "exists", ["1"]], ["gpu", "like", ["1"]], ["gpu"], ["gpu", "exists", [], -1.0]),
            *(["disk", "above", []], ["disk", "below", ["1", "2"]], ["disk", "above", ["nan"]], ["zone", "in", []]),
            *(["zone", "in", [name]], ["zone", "in", ["x"] * 40], ["gpu", "exists", [], math.nan], "gpu", 7),
        ]
    )
    if condition == ["zone", "in", [""]]:
        condition = []  # an empty value is one
    wrong = random.choice(
        [
            {"requires": [condition]},
            {"requires": [["gpu", "exists"]] * 17},
            {"tolerates": [name]},
            {"tolerates": ["spot"] * 17},
            {"resources": {"gpu": number}},
            {"resources": {f"r{each}": 1 for each in range(9)}},
            {"resources": {"no blanks": 1}},
            {"tenant": name or "no blanks", "key": "k"},
            {"deadline_strict": True},
            {"affinity_ms": 5.0},
            {"affinity": "a", "affinity_ms": number or -1.0},
        ]
    )
    return encode({"type": "kind", "outcome": 9, "kind": 1, "slots": -1, "running": -1} | wrong)


HOSTILE_BLOBS: list[Callable[[Random], bytes]] = [
    nested,
    twice,
    wrong_numbers,
    wrong_demands,
    lambda random: random.randbytes(random.randrange(1, 200)).replace(b"\x80", b"\xc1"),
    lambda random: b"\xc1" + random.randbytes(8),
    lambda random: b"\xdf\xff\xff\xff\xff" + random.randbytes(8),
    lambda random: b"\xdd\xff\xff\xff\xff",
    lambda random: b"\xc6\xff\xff\xff\xff",
    lambda random: b"\x84\xa4type\xa2\xff\xfe\xa5slots\xa2\xff\xfe\xa7running\xa2\xff\xfe\xa5error\xa2\xff\xfe",
    lambda random: b"\x81\xa2\xff\xfe\xa4kind",
    lambda random: b"{" * random.randrange(1, 5_000),
    lambda random: b"\x91" * (BLOB_BYTES_MAX + 1 + random.randrange(3)),
    lambda random: encode({"type": "k" * (BLOB_BYTES_MAX + 1)}),
    lambda random: encode(random.choice([[], 1, "text", None, 1.5])),
]

TEXTS = [b"\xff\xfe", b"no blanks", b"x" * 200, b"a\x00b", b"x\n", "\u4e94".encode(), b"x" * (BLOB_BYTES_MAX + 1)]
NUMBERS = [b"-1", b"nan", b"1e9", b"+1", b"", b" 1", b"9" * 30, b"0x1", b"%d" % 2**40, b"\xff"]


def hostile(stream: str, random: Random) -> list[bytes]:
    """The fields of one message that cannot be understood."""
    fields = whole(stream, random)
    how = random.randrange(6)
    if how == 0 and stream != "cmd":
        fields[b"w" if stream == "rep" else b"i"] = random.choice(TEXTS)
    elif how == 1 and stream != "cmd":
        fields[{"res": b"a", "rep": b"n", "q:r": b"a"}.get(stream, b"b")] = random.choice(NUMBERS)
    elif how == 2:
        pairs = [each for pair in fields.items() for each in pair]
        name = random.choice(list(fields))
        return random.choice([[*pairs, name, b"again"], pairs * 12, pairs[:-1], [], pairs + [b"x"] * 63])
    elif how == 3 and stream != "cmd":
        del fields[b"k" if stream == "rep" else b"w" if stream == "q:r" else b"i"]
    elif stream == "q:r":
        fields[b"y"] = random.choice([b"because", b"", b"\xff", b"x" * (BLOB_BYTES_MAX + 1)])
    else:
        name = blob_of(stream)
        cut = fields[name][: random.randrange(1, len(fields[name]))]
        fields[name] = random.choice([lambda _: cut, *HOSTILE_BLOBS])(random)
    return [each for pair in fields.items() for each in pair]


@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_messages_are_refused_counted_and_kept_and_nothing_else_is_lost(seed: int):
    print("seed", seed)
    random, world = Random(seed), World(seed)
    for actor in world.actors:
        world.register(actor)
    thrown = MESSAGES // len(SEEDS)
    refused = 0
    for number in range(ROUNDS):
        world.now_ms += 25
        for each in range(3):
            world.submit(f"t{number}-{each}")
        for _ in range(thrown // ROUNDS):
            stream = random.choice(INPUT_STREAMS)
            world.shard.append(stream, *hostile(stream, random))
        events, cursors = world.read(everything=True)
        refused += sum(isinstance(event, TaskRefused) for event in events)
        world.turn(events, cursors)
        world.settle()
        assert bookings_differ(world.engine) == conserves_work(world.engine) == places_differ(world.shard) == []
        for actor in world.actors:
            world.work(actor, share=0.9)
    world.quiesce()
    assert world.live() == []
    assert len(world.shard.tasks) == 3 * ROUNDS
    assert all(world.accepted[name] == (task.state == "F") for name, task in world.shard.tasks.items())
    assert world.engine.counters["refused"] == refused >= thrown
    letters = [fields for _, fields in world.shard.streams["dead"].after((0, 0), 10**6)]
    codes = [fields[5] for fields in letters]
    assert codes.count(b"malformed") + codes.count(b"too-large") == refused
    assert min(codes.count(b"malformed"), codes.count(b"too-large")) > thrown // 100
    assert all(len(world.shard.streams[stream]) == 0 for stream in INPUT_STREAMS)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_messages_are_understood_or_refused_and_never_raise(seed: int):
    print("seed", seed)
    random = Random(seed)
    known = {Reason.MALFORMED, Reason.TOO_LARGE}
    outcomes = [0, 0]
    for number in range(MESSAGES // len(SEEDS)):
        stream = random.choice(INPUT_STREAMS)
        fields = whole(stream, random)
        name = random.choice(list(fields))
        value = bytearray(fields[name])
        for _ in range(random.randint(1, 3)):
            value[random.randrange(len(value))] ^= 1 << random.randrange(8)
        fields[name] = bytes(value)
        entry = [b"%d-0" % number, [each for pair in fields.items() for each in pair]]
        events = events_of(stream, [entry])
        assert events
        for event in events:
            if isinstance(event, TaskRefused):
                assert event.reason in known
                assert (event.stream, event.entry) == (stream, f"{number}-0")
        outcomes[isinstance(events[-1], TaskRefused)] += 1
    assert min(outcomes) > MESSAGES // len(SEEDS) // 10
