"""Declaring tasks, and how documents become arguments."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from nexus_sched.client.submission import submission
from nexus_sched.errors import InvalidInput
from nexus_sched.model.payload import (
    Arguments,
    decode_arguments,
    decode_error,
    decode_result,
    encode_arguments,
    encode_error,
    encode_result,
    split_envelope,
)
from nexus_sched.worker import App
from nexus_sched.worker.functions import TaskFunction


class Point(msgspec.Struct):
    x: int
    y: int = 0


def function(call: Any) -> TaskFunction:
    made = TaskFunction("made", call, "thread")
    made.resolve()
    return made


def call(made: TaskFunction, *positional: Any, **keyword: Any) -> Any:
    args, kwargs = made.bind(Arguments(positional, keyword))
    return made.call(*args, **kwargs)


# -- declaring


def test_decorated_function_stays_itself():
    app = App()

    def add(a: int, b: int) -> int:
        return a + b

    assert app.task(add) is add
    assert app.task("sum", timeout="30s", retry="any", max_attempts=5)(add) is add
    functions = app.resolve()
    assert [(name, f.run_in) for name, f in functions.items()] == [("add", "thread"), ("sum", "thread")]
    settings = functions["sum"]
    assert (settings.timeout_ms, settings.retry.value, settings.max_attempts) == (30_000.0, "any", 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": "30"}, "is not a duration"),
        ({"timeout": 0}, "out of bounds"),
        ({"timeout": float("nan")}, "out of bounds"),
        ({"retry": "always"}, "allowed are never, lost and any"),
        ({"max_attempts": 0}, "allowed are 1 to 100"),
        ({"run_in": "loop"}, "run_in is thread or process"),
    ],
)
def test_settings_out_of_bounds_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(InvalidInput, match=message):
        App().task("name", **options)(lambda: None)


def test_names_must_be_valid_and_unique():
    app = App()
    app.task("a")(lambda: None)
    with pytest.raises(InvalidInput, match="registered twice"):
        app.task("a")(lambda: None)
    with pytest.raises(InvalidInput, match="task type"):
        app.task("no spaces")(lambda: None)


def test_asynchronous_function_runs_on_the_loop_only():
    async def here() -> None: ...

    app = App()
    with pytest.raises(InvalidInput, match="asynchronous"):
        app.task("here", run_in="process")(here)
    app.task("here")(here)
    assert app.resolve()["here"].run_in == "loop"


def test_app_without_tasks_is_refused():
    with pytest.raises(InvalidInput, match="no tasks"):
        App().resolve()


def test_unknown_annotation_is_refused_at_the_start():
    app = App()

    def broken(a: "Missing") -> None: ...  # noqa: F821, UP037 - that it is unknown is the point

    app.task(broken)
    with pytest.raises(InvalidInput, match="annotations cannot be resolved"):
        app.resolve()


# -- arguments


def test_arguments_are_converted_by_their_annotations():
    def take(point: Point, day: date, tags: set[str], anything, *more: int, flag: bool = False, **rest: float) -> Any:
        return point, day, tags, anything, more, flag, rest

    assert call(function(take), {"x": 1}, "2026-11-21", ["a"], {"k": 1}, 1, 2, flag=True, z=1) == (
        Point(1), date(2026, 11, 21), {"a"}, {"k": 1}, (1, 2), True, {"z": 1.0},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("positional", "keyword", "message"),
    [
        (("1",), {}, "argument a: Expected `int`, got `str`"),
        ((-1,), {}, "argument a: Expected `int` >= 0"),
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional"),
        ((1,), {"a": 1}, "multiple values"),
        ((), {"a": 1, "b": "x"}, "argument b: Expected `float`"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(positional: tuple[Any, ...], keyword: dict[str, Any], message: str):
    def take(a: Annotated[int, msgspec.Meta(ge=0)], b: float = 0.0) -> None: ...

    with pytest.raises(InvalidInput, match=message):
        call(function(take), *positional, **keyword)


def test_required_keyword_argument_cannot_come_by_position():
    def take(*, a: int) -> int:
        return a

    assert call(function(take), a=1) == 1
    for wrong in ((), (1,)):
        with pytest.raises(InvalidInput):
            call(function(take), *wrong)


# -- payloads


@pytest.mark.parametrize(
    ("codec", "payload", "expected"),
    [
        ("msgpack", b"", ((), {})),
        ("json", b"", ((), {})),
        ("json", b"[1, 2]", ([1, 2], {})),
        ("json", b'{"a": 1}', ((), {"a": 1})),
        ("json", b'"text"', (("text",), {})),
        ("msgpack", b"\x2a", ((42,), {})),
        ("raw", b"[1]", ((b"[1]",), {})),
        ("raw", b"", ((b"",), {})),
    ],
)
def test_document_becomes_arguments(codec: str, payload: bytes, expected: tuple[Any, Any]):
    assert tuple(decode_arguments(codec, payload)) == expected


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        ("pickle", b"x"),
        ("json", b"{"),
        ("json", b"\xff"),
        ("json", b"[" * 100_000),
        ("msgpack", b"\xc1"),
        ("msgpack", b"\x81\x01\x02"),
        ("msgpack", b"\x91" * 100_000),
        ("msgpack", b"\xdd\xff\xff\xff\xff"),
        ("msgpack", b"\xa2\xff\xfe"),
    ],
)
def test_hostile_payload_is_refused(codec: str, payload: bytes):
    with pytest.raises(InvalidInput):
        decode_arguments(codec, payload)


def test_random_bytes_are_arguments_or_refused():
    """Whatever comes in: arguments that the function takes, or `InvalidInput`; nothing else gets out."""
    random_ = random.Random(1)
    start = [encode_arguments(([1, "a", {"b": [None, 2.5]}], 2), None), b'{"a": [1, {"b": "c"}], "d": 1e3}', b""]
    made = function(lambda *args, **kwargs: (args, kwargs))
    taken = 0
    for number in range(20_000):
        payload = bytearray(start[number % 3] or random_.randbytes(random_.randrange(40)))
        for _ in range(random_.randrange(4)):
            if payload:
                payload[random_.randrange(len(payload))] = random_.randrange(256)
        del payload[random_.randrange(len(payload) + 1) + random_.choice((0, 1_000)) :]
        codec = ("msgpack", "json", "raw")[random_.randrange(3)]
        try:
            positional, keyword = decode_arguments(codec, bytes(payload))
            call(made, *positional, **keyword)
            taken += 1
        except InvalidInput:
            pass
    assert 1_000 < taken < 19_000


def test_random_envelopes_are_split_or_refused():
    random_ = random.Random(2)
    spec = submission("name", 1, timeout=1.0, retry="any").line.spec
    whole = len(spec).to_bytes(4, "big") + spec + b"payload"
    split = 0
    for _ in range(20_000):
        envelope = bytearray(whole[: random_.randrange(len(whole) + 1)] if random_.random() < 0.3 else whole)
        for _ in range(random_.randrange(4)):
            if envelope:
                envelope[random_.randrange(len(envelope))] = random_.randrange(256)
        try:
            described, payload = split_envelope(bytes(envelope))
            split += isinstance(described.type, str) and isinstance(payload, bytes)
        except InvalidInput:
            pass
    assert 1_000 < split < 19_000


def test_encoded_arguments_come_back():
    assert tuple(decode_arguments("msgpack", encode_arguments((1, [2], None), None))) == ([1, [2], None], {})
    assert tuple(decode_arguments("msgpack", encode_arguments(([1],), None))) == ([[1]], {})
    assert tuple(decode_arguments("msgpack", encode_arguments((), {"a": 1}))) == ((), {"a": 1})
    assert encode_arguments((), None) == b""
    with pytest.raises(InvalidInput, match="not both"):
        encode_arguments((1,), {"a": 1})
    with pytest.raises(InvalidInput, match="cannot be encoded"):
        encode_arguments((object(),), None)


def test_results_and_errors_come_back():
    for value in (None, 0, "", [], {"error": "not one"}, b"bytes"):
        assert decode_result(encode_result(value)) == value
    assert encode_result(None) == b""
    assert decode_error(encode_error("why")) == "why"
    assert [decode_error(blob) for blob in (None, b"", b"\xc1", b"\x01", b"\x80")] == [""] * 5


# -- weight


def test_declaring_tasks_and_serving_them_loads_nothing_heavy(root: Path):
    program = (
        "import sys\n"
        "import nexus_sched\n"
        "assert not [m for m in ('asyncio', 'msgspec', 'nexus_sched.worker') if m in sys.modules]\n"
        "from nexus_sched import App\n"
        "assert 'asyncio' not in sys.modules, 'declaring'\n"
        "import nexus_sched.worker.entry\n"
        "import nexus_sched.adapters.redis.worker\n"
        "heavy = [m for m in ('numpy', 'redis', 'rich', 'structlog', 'cyclopts') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
