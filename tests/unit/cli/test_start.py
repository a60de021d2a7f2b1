"""The start without the tree of commands: it means the same, or leaves it to the tree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from cyclopts import CycloptsError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nexus_sched.cli import exit_codes, run_command
from nexus_sched.cli.app import build_app
from nexus_sched.cli.start import COMMAND, CONFIG, JSON, MODE, MODES, NAMED, SET, Sources, plain_start

FLAGS = (CONFIG, SET, MODE, *NAMED)
VALUES = st.sampled_from(["", "a", "pool.name=x", "a=b=c", " k = v ", "-3", "5", "[1]", "{}", "a b", COMMAND, *MODES])
ODD = st.sampled_from(["-c", "--help", "--no-json", "--js", "--", "--redis_url", "-c=x", "--role=all", f"{JSON}=true"])
JOINED = st.builds("{}={}".format, st.sampled_from(FLAGS), VALUES).map(lambda token: [token])
APART = st.tuples(st.sampled_from(FLAGS), VALUES).map(list)
ANY = st.one_of(
    APART, JOINED, APART, JOINED, st.just([JSON]), ODD.map(lambda token: [token]), VALUES.map(lambda v: [v])
)
TOKENS = st.lists(ANY, max_size=5).map(lambda parts: [token for part in parts for token in part])
# What a start must not wait for; cyclopts alone takes a tenth of a second.
HEAVY = ("cyclopts", "rich", "attrs", "pygments", "importlib.metadata", "numpy", "redis", "litestar", "grpc")

Meaning = tuple[object, object, bool]


def meaning_to_the_tree(tokens: list[str], patch: pytest.MonkeyPatch) -> Meaning | None:
    """File, flags and JSON of the scheduler that the tree of commands would run, `None` if it would run none."""
    meant: list[Meaning] = []

    def run_scheduler(read: Callable[[], tuple[object, object]], *, as_json: bool, **_: object) -> int:
        meant.append((*read(), as_json))
        return 0

    patch.setattr(run_command, "run_scheduler", run_scheduler)
    patch.setattr(Sources, "load", lambda self: SimpleNamespace(config=(self.config, self.flags)))
    try:
        build_app()([COMMAND, *tokens], exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError:
        return None
    return meant[0] if meant else None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TOKENS)
@example([CONFIG, "a.toml", "--redis-url=redis://h", SET, "pool.name=x", f"{SET}=a=b=c", MODE, "shadow", JSON])
def test_a_plain_start_means_what_the_tree_of_commands_makes_of_it(monkeypatch, capsys, tokens: list[str]):
    start = plain_start(tokens)
    if start is None:
        return
    with monkeypatch.context() as patch:
        assert meaning_to_the_tree(tokens, patch) == (start.sources.config, start.sources.flags, start.json)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        ["--redis-url", "redis://127.0.0.1:1", SET, "pool.name=a", SET, "logging.format=json", JSON],
        ["--config=nexus.toml", "--mode=round-robin", "--heartbeat-timeout-ms", "5000", "--fallback-threshold=3"],
    ],
)
def test_the_usual_forms_are_plain(tokens: list[str]):
    assert plain_start(tokens) is not None


@pytest.mark.parametrize(
    "tokens", [["--help"], ["--mode", "other"], ["--redis-url"], ["--redis-url", ""], [MODE, "shadow", MODE, "shadow"]]
)
def test_help_and_mistakes_are_left_to_the_tree(tokens: list[str]):
    assert plain_start(tokens) is None


def test_a_start_loads_nothing_heavy():
    program = (
        "import sys; from nexus_sched.cli import main; code = main(sys.argv[1:]);"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules))); sys.exit(code)"
    )
    options = ["--redis-url", "unix:///nowhere/redis.sock", SET, "redis.connect_timeout=100ms"]
    done = subprocess.run(
        [sys.executable, "-c", program, COMMAND, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == exit_codes.CANNOT_REACH, done.stderr
    assert done.stdout.strip() == "[]"
