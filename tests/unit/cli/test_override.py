"""What people type about overrides is checked before anything connects, as the scheduler will check it."""

from __future__ import annotations

import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.cli.override import remaining_text
from nexus_sched.control.overrides import addition_of, described, read_effect, read_scope, text_of
from nexus_sched.errors import InvalidInput
from nexus_sched.model.command import AddOverride, PinEstimate
from nexus_sched.model.events import EstimatePinned, OverrideAdded
from nexus_sched.units import parse_duration_ms

ABSENT = ["--redis-url", "unix:///nowhere/redis.sock"]
GOOD = {"scope": "type=a.b", "effect": "factor=2.0", "reason": "why", "for_": "1h", "actor": "ada"}


def read(scope: str, effect: str, reason: str, for_: str, actor: str) -> PinEstimate | AddOverride:
    return addition_of(read_scope(scope), read_effect(effect), parse_duration_ms(for_), reason, actor)


def test_override_is_read_as_a_command():
    hour = (3_600_000, "why", "ada")
    assert read(**GOOD) == PinEstimate("a.b", *hour, None, 2.0)
    assert read(**{**GOOD, "effect": "estimate=1.5s"}) == PinEstimate("a.b", *hour, 1_500.0, 1.0)
    assert read(**{**GOOD, "effect": "pin=w-1"}) == AddOverride("pin", *hour, task_type="a.b", target="w-1")
    one = {**GOOD, "scope": "task=t1"}
    assert read(**{**one, "effect": "avoid=w-1"}) == AddOverride("avoid", *hour, task_id="t1", target="w-1")
    assert read(**{**one, "effect": "priority=+2"}) == AddOverride("priority", *hour, task_id="t1", levels=2)
    assert read_scope(" type = resize ") == ("type", "resize")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scope": "worker=w1"}, "write it as type=NAME or task=ID"),
        ({"scope": "task=a b", "effect": "pin=w1"}, "does not match"),
        ({"scope": "task=t1"}, "is for a type"),
        ({"effect": "pin=a b"}, "does not match"),
        ({"effect": "pin="}, "write estimate=500ms"),
        ({"effect": "priority=0"}, "no number of levels"),
        ({"effect": "priority=high"}, "no number of levels"),
        ({"effect": "priority=10"}, "out of bounds"),
        ({"scope": "resize"}, "write it as type=NAME"),
        ({"scope": "type="}, "does not match"),
        ({"scope": "type=a b"}, "does not match"),
        ({"effect": "2.0"}, "write estimate=500ms, factor=2.0, pin=WORKER"),
        ({"effect": "factor=two"}, "is not a number"),
        ({"effect": "factor=0"}, "out of bounds"),
        ({"effect": "factor=-1"}, "out of bounds"),
        ({"effect": "factor=nan"}, "out of bounds"),
        ({"effect": "factor=1e9"}, "out of bounds"),
        ({"effect": "estimate=500"}, "is not a duration"),
        ({"effect": "estimate=0s"}, "out of bounds"),
        ({"effect": "estimate=31d"}, "out of bounds"),
        ({"reason": "  "}, "say why"),
        ({"reason": "x" * 501}, "out of bounds"),
        ({"for_": "0s"}, "out of bounds"),
        ({"for_": "91d"}, "out of bounds"),
        ({"for_": "forever"}, "is not a duration"),
        ({"actor": "x" * 129}, "out of bounds"),
    ],
)
def test_override_out_of_bounds_is_refused_in_words(changes, words: str):
    with pytest.raises(InvalidInput, match=words):
        read(**{**GOOD, **changes})


@pytest.mark.parametrize("missing", ["--scope", "--effect", "--reason", "--for"])
def test_nothing_may_be_left_out(missing: str, capsys: pytest.CaptureFixture[str]):
    given = {"--scope": "type=a", "--effect": "factor=2", "--reason": "why", "--for": "1h"}
    del given[missing]
    words = [word for pair in given.items() for word in pair]
    assert main(["override", "add", *words, *ABSENT]) == exit_codes.USAGE
    assert missing in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["add", "--scope", "type=a", "--effect", "factor=2", "--reason", "why", "--for", "1h"],
        ["list"],
        ["remove", "--scope", "type=a"],
    ],
    ids=lambda command: command[0],
)
def test_server_that_is_not_there_is_told_with_advice(command: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["override", *command, *ABSENT]) == exit_codes.CANNOT_REACH
    assert "Is the server running" in capsys.readouterr().err


def test_pin_is_described_with_the_time_it_has_left():
    pin = EstimatePinned("a", 500.0, 1.0, 61_000, "why", "ada")
    assert described(pin, 1_000).remaining_ms == 60_000
    assert described(pin, 62_000).remaining_ms == 0
    assert text_of(described(pin, 1_000)) == "type=a estimate=500ms"
    raised = OverrideAdded("task", "t1", "priority", "", 2, 61_000, "why", "ada")
    assert text_of(described(raised, 1_000)) == "task=t1 priority=+2"


@pytest.mark.parametrize(
    ("span_ms", "text"),
    [
        (900, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min 0 s"),
        (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_time_left_is_told_in_two_units(span_ms: int, text: str):
    assert remaining_text(span_ms) == text
