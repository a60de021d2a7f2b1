"""The benchmarks that start processes run, agree with the scheduler's books, and print what is promised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gateway.goals import LIMIT_TOLERANCE

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="CPU times are read from Linux's /proc")

TIMEOUT_S = 60


def printed(root: Path, *arguments: str) -> dict[str, object]:
    """The JSON object that `python -m ARGUMENTS` prints."""
    finished = subprocess.run(
        [sys.executable, "-m", *arguments, "--json"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2_000:]
    body: dict[str, object] = json.loads(finished.stdout)
    return body


def test_throughput_prints_headline_and_a_level_for_each_rate(root: Path) -> None:
    sizes = ("--workers", "20", "--repeats", "1", "--duration", "0.5", "--warm-up", "0.2")
    body = printed(root, "benchmarks.throughput", "--rates", "200,saturation", "--outstanding", "300", *sizes)
    levels = body["levels"]
    assert isinstance(levels, dict)
    assert list(levels) == ["200", "saturation"]
    for figures in (body, *levels.values()):
        assert {"tasks_per_s", "submit_to_start_ms", "redis_us_per_task", "scheduler_us_per_task"} <= figures.keys()
        assert figures["submit_to_start_ms"]["p50"] > 0.0
    assert 100 < levels["200"]["tasks_per_s"] < 300
    assert levels["saturation"]["tasks_per_s"] > levels["200"]["tasks_per_s"]


def test_footprint_prints_memory_cold_start_and_decision_times(root: Path) -> None:
    body = printed(
        root, "benchmarks.footprint", "--workers", "20", "--tasks", "500", "--starts", "1", "--duration", "0.5"
    )
    assert 1e7 < int(str(body["resident_bytes"])) < 1.5e8
    assert 0.0 < float(str(body["cold_start_s"])) < 10.0
    decided = body["decision_us"]
    assert isinstance(decided, dict)
    assert 0.0 < decided["p50"] <= decided["p99"]


def test_recovery_prints_the_gaps_of_each_way_in_which_a_leader_goes(root: Path) -> None:
    sizes = ("--workers", "20", "--tasks", "200", "--kills", "1")
    body = printed(root, "benchmarks.recovery", "--way", "neighbour", *sizes)
    figures = body["neighbour"]
    assert isinstance(figures, dict)
    assert [figures["p50_s"]] == figures["spans_s"] == [figures["max_s"]]
    assert 0.0 < figures["max_s"] < 10.0
    assert (body["reclaimed"], body["workers"]) == (0, 20)


def test_flood_keeps_its_bounds_and_its_word(root: Path) -> None:
    body = printed(root, "benchmarks.flood", "--duration", "2")
    phases, reached, growth = body["phases"], body["goals_reached"], body["resident_growth"]
    assert isinstance(phases, dict)
    assert isinstance(reached, dict)
    assert isinstance(growth, dict)
    assert phases["calm"]["refused"] == 0 < phases["flood"]["admitted"] < phases["flood"]["refused"]
    assert phases["bytes"]["queued_bytes_max"] > phases["flood"]["queued_bytes_max"] > 0
    assert reached["decision"]
    assert reached["bounds"]
    assert growth["scheduler"] < 1.25


@pytest.mark.parametrize("part", ["submit", "batch", "eta", "limit", "abuse", "crash", "scrape"])
def test_gateway_keeps_what_does_not_hang_on_the_clock(root: Path, part: str) -> None:
    """Latencies, and how much a machine can offer, are for machines that do nothing else: `make gateway`."""
    body = printed(root, "benchmarks.gateway", "--short", "--part", part)
    figures, reached = body[part], body["goals_reached"]
    assert isinstance(figures, dict)
    assert isinstance(reached, dict)
    if part in ("submit", "batch"):
        assert reached[f"{part}_per_core"], figures
    elif part == "eta":
        assert figures["told"] >= 0.9 * figures["requests"], figures
    elif part == "limit":
        assert figures["admitted_share"] == pytest.approx(1.0, abs=LIMIT_TOLERANCE), figures
        assert figures["offered_factor"] > 2.0
        assert figures["codes"] == ["RATE_LIMITED"]
        assert min(figures["admitted_by_each"]) > 0
    elif part == "scrape":
        assert figures["decisions_on"] > 0 < figures["decisions_off"]  # in so short a time their p99 is chance
    else:
        assert all(reached.values()), figures
