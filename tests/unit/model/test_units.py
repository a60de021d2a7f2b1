"""Durations and sizes have a unit, or are refused."""

from __future__ import annotations

import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.model.choices import retry_of, span_ms
from nexus_sched.model.task import Retry
from nexus_sched.units import parse_duration_ms, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("250ms", 250),
        ("1.5s", 1_500),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        (" 30 s ", 30_000),
        ("0s", 0),
    ],
)
def test_duration_is_read(text: str, milliseconds: int):
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "count"), [("512B", 512), ("64KB", 64_000), ("64KiB", 65_536), ("1.5MiB", 1_572_864), ("2GiB", 2**31)]
)
def test_size_is_read(text: str, count: int):
    assert parse_size_bytes(text) == count


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "1e3s", "5 seconds", "5S", "5s5s", "nan s", "9" * 13 + "s"])
def test_duration_without_a_known_unit_is_refused(text: str):
    with pytest.raises(InvalidInput, match="is not a duration"):
        parse_duration_ms(text)


@pytest.mark.parametrize("text", ["", "5", "5mb", "-5B", "5 b", "1e3B"])
def test_size_without_a_known_unit_is_refused(text: str):
    with pytest.raises(InvalidInput, match="is not a size"):
        parse_size_bytes(text)


@pytest.mark.parametrize(("value", "milliseconds"), [("30s", 30_000.0), (30, 30_000.0), (0.25, 250.0)])
def test_span_is_text_or_seconds(value: str | float, milliseconds: float):
    assert span_ms(value) == milliseconds


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), 31 * 86_400.0, "0s", "31d"])
def test_span_out_of_bounds_is_refused(value: str | float):
    with pytest.raises(InvalidInput):
        span_ms(value)


def test_retry_rule_is_read_by_name():
    assert [retry_of(name) for name in ("never", "lost", Retry.ANY)] == [Retry.NEVER, Retry.LOST, Retry.ANY]
    with pytest.raises(InvalidInput, match="never, lost and any"):
        retry_of("sometimes")
