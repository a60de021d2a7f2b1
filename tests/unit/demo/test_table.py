"""The table for people: units, changes, and cells without a value."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from nexus_sched.demo.quantiles import Quantiles, Tails
from nexus_sched.demo.report import DemoReport, HalfReport, Overhead, Utilisation
from nexus_sched.demo.table import changed, render, shown


def half(mode: str, scale: float, predicted: int) -> HalfReport:
    return HalfReport(
        mode=mode,
        submitted=100,
        finished=100,
        lost=0,
        duplicated=0,
        wait_ms=Quantiles(1.5 * scale, 20.0 * scale, 3_000.0 * scale),
        response_ms=Quantiles(50.0 * scale, 100.0 * scale, 5_000.0 * scale),
        submit_to_start_ms=Tails(1.5 * scale, 3_000.0 * scale),
        dispatch_overhead_ms=Overhead(1.0, 2.0, 60),
        utilisation=Utilisation(0.7, 0.5 * scale, 0.9 * scale, 0.1, 1.0),
        type_cv=1.2 * scale,
        predictions_within_25=0.5 if predicted else None,
        predicted=predicted,
        policies={mode: 100},
        decision_us=Tails(4.0, None),
        makespan_s=31.0,
    )


def report(lost: int = 0) -> DemoReport:
    return DemoReport(
        submitted=200,
        finished=200 - lost,
        lost=lost,
        duplicated=0,
        decision_us=Tails(4.0, 9.0),
        submit_to_start_ms=Tails(1.0, 2.0),
        dispatch_overhead_ms=Overhead(1.0, 2.0, 60),
        predictive=half("predictive", 0.5, 90),
        round_robin=half("shadow", 1.0, 0),
        workload="generated",
        workers=24,
        slots=2,
        rate=200.0,
        duration_s=30.0,
        seed=1,
        server="valkey 9.1.2",
        elapsed_s=90.0,
    )


def test_table_shows_both_halves_and_the_change() -> None:
    output = io.StringIO()
    Console(file=output, width=110).print(render(report()))
    text = output.getvalue()
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:5]]
        for line in text.splitlines()
        if "│" in line
    }
    assert rows["tasks"] == ["100", "100", ""]
    assert rows["wait p99"] == ["3.00 s", "1.50 s", "-50 %"]
    assert rows["utilisation max - min"] == ["90.0 %", "45.0 %", "-50 %"]
    assert rows["predictions within 25 %"] == ["-", "50.0 % of 90", ""]
    assert rows["decision p50"] == ["4.00 us", "4.00 us", "same"]
    assert rows["decision p99"] == ["-", "-", ""]
    assert "24 workers x 2 slots, valkey 9.1.2" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "ms", "-"),
        (0.123, "ms", "0.12 ms"),
        (99.96, "ms", "100.0 ms"),
        (1_234.0, "ms", "1.23 s"),
        (0.5, "", "0.50"),
    ],
)
def test_shown_value_has_its_unit(value: float | None, unit: str, text: str) -> None:
    assert shown(value, unit) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (None, 1.0, ""),
        (0.0, 1.0, ""),
        (2.0, 3.0, "+50 %"),
        (1_000.0, 1_001.0, "same"),
        (2.0, 20.0, "10 x more"),
        (17_000.0, 10.0, "1700 x less"),
        (5.0, 0.0, "-100 %"),
    ],
)
def test_changed_says_how_much(before: float | None, after: float | None, text: str) -> None:
    assert changed(before, after) == text


def test_report_is_one_json_object_with_the_documented_keys() -> None:
    decoded = msgspec.json.decode(msgspec.json.encode(report()))
    assert {"submitted", "finished", "lost", "duplicated", "predictive", "round_robin"} <= set(decoded)
    assert set(decoded["decision_us"]) == {"p50", "p99"}
    assert set(decoded["submit_to_start_ms"]) == {"p50", "p99"}
    assert set(decoded["predictive"]["response_ms"]) == {"p50", "p95", "p99"}
    assert set(decoded["predictive"]) == set(decoded["round_robin"])


def test_report_is_sound_only_without_loss_and_repeat() -> None:
    assert report().sound
    assert not report(lost=1).sound
