"""The one syntax of conditions on labels: what it means, that it is read back, and what it refuses."""

from __future__ import annotations

import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.model.conditions import condition_text, conditions_of, number_of, parse_condition
from nexus_sched.model.terms import Condition, Operator

WRITTEN = {
    "gpu": Condition("gpu", Operator.EXISTS),
    "!spot": Condition("spot", Operator.MISSING),
    "zone = a": Condition("zone", Operator.IN, ("a",)),
    "zone in a, b": Condition("zone", Operator.IN, ("a", "b")),
    "zone != a": Condition("zone", Operator.NOT_IN, ("a",)),
    "zone not in a, b": Condition("zone", Operator.NOT_IN, ("a", "b")),
    "disk > 100": Condition("disk", Operator.ABOVE, ("100",)),
    "disk < -1.5e3": Condition("disk", Operator.BELOW, ("-1.5e3",)),
    "gpu worth 200ms": Condition("gpu", Operator.EXISTS, (), 200.0),
    "!spot worth 1500ms": Condition("spot", Operator.MISSING, (), 1500.0),
    "zone in a, b worth 5ms": Condition("zone", Operator.IN, ("a", "b"), 5.0),
    "in": Condition("in", Operator.EXISTS),
    "worth": Condition("worth", Operator.EXISTS),
    "nvidia.com/gpu": Condition("nvidia.com/gpu", Operator.EXISTS),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_text_is_read_and_written_back(text: str):
    assert parse_condition(text) == WRITTEN[text]
    assert condition_text(WRITTEN[text]) == text


@pytest.mark.parametrize(
    ("loose", "strict"),
    [
        (" gpu ", "gpu"),
        ("! spot", "!spot"),
        ("zone=a", "zone = a"),
        ("zone!=a", "zone != a"),
        ("zone in b,a,b", "zone in a, b"),
        ("zone in a", "zone = a"),
        ("zone  not  in  a", "zone != a"),
        ("disk>100", "disk > 100"),
        ("gpu worth 1.5s", "gpu worth 1500ms"),
        ("zone=a worth 2m", "zone = a worth 120000ms"),
    ],
)
def test_looser_writing_means_the_same(loose: str, strict: str):
    assert parse_condition(loose) == parse_condition(strict)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "!", "a b", "= a", "zone =", "zone in", "zone in ,", "zone not in", "zone = a,b", "zone = a b"),
        *("disk > much", "disk > 1,2", "disk >", "!spot = 1", "gpu worth", "gpu worth 5", "gpu worth 0ms"),
        *("gpu worth 2d", "zone == a", "zone >= 1", "zone in a b", "x" * 65, "zone = " + "x" * 129, "\u4e94"),
        "zone in " + ",".join(f"v{number}" for number in range(33)),
        "x" * 5_000,
    ],
)
def test_text_that_is_no_condition_is_refused_in_words(text: str):
    with pytest.raises(InvalidInput) as refused:
        parse_condition(text)
    assert len(str(refused.value)) < 500


def test_callers_may_write_text_conditions_sequences_and_mappings():
    gpu, zone = parse_condition("gpu"), parse_condition("zone in a, b")
    assert conditions_of("gpu") == conditions_of(gpu) == (gpu,)
    assert conditions_of(["gpu", zone]) == (gpu, zone)
    wanted = {"gpu": True, "spot": False, "zone": ["b", "a"], "rack": 7, "host": "h1", "disk": "> 100"}
    assert conditions_of(wanted) == tuple(
        parse_condition(text) for text in ("gpu", "!spot", "zone in a,b", "rack = 7", "host = h1", "disk > 100")
    )


@pytest.mark.parametrize("wanted", [{"gpu": None}, {"zone": []}, {"a b": True}, {"disk": ">"}, {"zone": "a b"}])
def test_mapping_that_says_nothing_is_refused(wanted: dict[str, object]):
    with pytest.raises(InvalidInput):
        conditions_of(wanted)


@pytest.mark.parametrize(("text", "number"), [("1", 1.0), ("-2.5", -2.5), ("1e3", 1000.0), (" 7", 7.0)])
def test_numbers_are_read_from_labels(text: str, number: float):
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1_000", "0x10", "1e999", "much", "9" * 65])
def test_what_is_no_finite_number_is_none(text: str):
    assert number_of(text) is None
