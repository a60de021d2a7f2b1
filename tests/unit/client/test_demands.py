"""What a submission may ask for: how it is written, that it arrives as terms, and what is refused at once."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from nexus_sched.client import submission
from nexus_sched.errors import InvalidInput
from nexus_sched.model.conditions import parse_condition
from nexus_sched.model.events import TaskSubmitted
from nexus_sched.model.task import TaskSpec
from nexus_sched.model.terms import Needs, Terms
from nexus_sched.runtime.inputs import events_of

decode_spec = msgspec.msgpack.Decoder(TaskSpec).decode


def terms(**options: Any) -> Terms | None:
    """What the scheduler knows of a task that a client submits with these options at instant 1000."""
    line = submission("kind", **options).line
    (event,) = events_of("q:5", [[b"1000-0", [b"i", line.task_id.encode(), b"m", line.spec, b"b", b"0"]]])
    assert isinstance(event, TaskSubmitted), event
    return event.task.asks


def test_plain_submission_asks_for_nothing():
    assert terms() is None
    assert terms(tenant=None, requires=None, deadline=None, delay=0, idempotent=False, resources={}) is None
    assert set(msgspec.msgpack.decode(submission("kind").line.spec)) == {"type"}


@pytest.mark.parametrize(
    "requires",
    ["zone in a, b", ["zone in b,a"], parse_condition("zone in a,b"), {"zone": ["a", "b"]}, {"zone": ("b", "a", "a")}],
)
def test_conditions_may_be_written_in_several_ways(requires: object):
    assert terms(requires=requires) == Terms(Needs((parse_condition("zone in a, b"),)))


def test_needs_arrive():
    asked = terms(
        requires=["gpu", "!spot", "disk > 100", "ssd worth 200ms"],
        tolerates="slow",
        resources={"gpu": 1, "memory": "8GiB", "cpu": "0.5"},
    )
    conditions = tuple(parse_condition(text) for text in ("disk > 100", "gpu", "!spot", "ssd worth 200ms"))
    assert asked == Terms(Needs(conditions, ("slow",), (("cpu", 0.5), ("gpu", 1.0), ("memory", 2.0**33))))
    assert terms(resources="memory=8GiB, gpu=1,cpu=0.5") == Terms(Needs((), (), asked.needs.resources))
    assert terms(tolerates=["a", "b"]) == Terms(Needs((), ("a", "b")))


def test_everything_else_arrives():
    asked = terms(
        tenant="t", key="k", affinity="a", affinity_worth="20ms", deadline="5m", strict_deadline=True, delay=1.5
    )
    assert asked == Terms(Needs(), "t", "k", "a", 20.0, 301_000, True, 2_500)
    assert terms(idempotent=True, backoff="0s") == Terms(idempotent=True, backoff_ms=0.0)
    assert terms(eta=True, backoff=2) == Terms(eta=True, backoff_ms=2_000.0)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"requires": "a b"}, "condition"),
        ({"requires": [f"l{number}" for number in range(17)]}, "requires"),
        ({"requires": {f"l{label}": [f"{value}-{'x' * 100}" for value in range(32)] for label in range(9)}}, "bytes"),
        ({"tolerates": "a b"}, "taint"),
        ({"tolerates": [f"t{number}" for number in range(17)]}, "tolerates"),
        ({"resources": "gpu"}, "name=value"),
        ({"resources": "gpu=1,gpu=2"}, "twice"),
        ({"resources": {"gpu": 0}}, "amount"),
        ({"resources": {"gpu": math.nan}}, "amount"),
        ({"resources": {"memory": "8 quarts"}}, "size"),
        ({"resources": {f"r{number}": 1 for number in range(9)}}, "resources"),
        ({"resources": {"a b": 1}}, "resource"),
        ({"tenant": "no blanks"}, "name"),
        ({"tenant": "\udcff"}, "name"),
        ({"key": "x" * 129}, "name"),
        ({"affinity_worth": 1}, "affinity"),
        ({"strict_deadline": True}, "deadline"),
        ({"deadline": 0}, "duration"),
        ({"deadline": "soon"}, "duration"),
        ({"delay": -1}, "duration"),
        ({"delay": math.nan}, "duration"),
        ({"backoff": "31d"}, "duration"),
    ],
)
def test_what_the_scheduler_would_refuse_is_refused_at_once(options: dict[str, Any], word: str):
    with pytest.raises(InvalidInput, match=word):
        submission("kind", **options)


def test_option_that_does_not_exist_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="'require'"):
        submission("kind", require="gpu")  # type: ignore[call-arg]  # the mistake
