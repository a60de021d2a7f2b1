"""From pictures to samples: the names are kept, units are base units, sums never fall, labels stay few."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry, generate_latest

from nexus_sched.errors import StoreUnreachable
from nexus_sched.gateway.metrics.catalogue import METRICS
from nexus_sched.gateway.metrics.collector import BUCKETS, Own, PoolCollector
from nexus_sched.gateway.metrics.reference import render
from nexus_sched.gateway.metrics.source import Metrics
from nexus_sched.gateway.metrics.totals import Totals
from nexus_sched.model.frame import Frame
from nexus_sched.model.tallies import OTHER_TYPE, TYPES_MAX, Histogram
from tests.unit.gateway.metrics.scene import frame, tallies

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = Path(__file__).with_name("names.txt")


def scraped(*frames: Frame, own: Own | None = None) -> str:
    registry, collector = CollectorRegistry(auto_describe=False), PoolCollector(60.0)
    registry.register(collector)
    collector.look(frames, own or Own(redis_up=True), 101.0)
    return generate_latest(registry).decode()


def value(text: str, sample: str) -> float:
    (found,) = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"nexus_sched_{sample} ")]
    return float(found)


def test_names_types_and_labels_are_what_they_were():
    shown = [f"{metric.shown} {metric.kind} {','.join(metric.labels)}".rstrip() for metric in METRICS.values()]
    assert GOLDEN.read_text().splitlines() == sorted(shown), "a name is for ever: change it only on purpose"


def test_every_metric_of_the_table_is_served_even_with_nothing_to_tell():
    for text in (scraped(frame()), scraped()):
        declared = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        assert {metric.shown for metric in METRICS.values()} == declared
    assert {name for name, metric in METRICS.items() if metric.kind == "histogram"} == set(BUCKETS)


def test_reference_page_is_fresh():
    assert (ROOT / "docs/reference/metrics.md").read_text() == render(), "run `make docs` and commit the result"


def test_prometheus_own_checker_finds_nothing():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool in PATH (Debian: apt-get install prometheus)")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=scraped(frame()), capture_output=True, text=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_samples_are_in_base_units():
    text = scraped(frame())
    assert value(text, "decision_duration_seconds_sum") == pytest.approx(0.0005)
    assert value(text, "decision_duration_seconds_count") == 10
    assert value(text, 'decision_duration_seconds_bucket{le="6.5536e-05"}') == 8
    assert value(text, 'decision_duration_seconds_bucket{le="0.000131072"}') == 10
    assert value(text, 'execution_seconds_bucket{le="0.008",type="resize"}') == 5
    assert value(text, 'execution_seconds_count{type="other"}') == 2
    assert value(text, "prediction_error_ratio_sum") == pytest.approx(0.5)
    assert value(text, "backlog_predicted_seconds") == 90.0
    assert value(text, 'backlog_tasks{stage="queued"}') == 30
    assert value(text, "tasks_lost_total") == 1
    assert value(text, "prediction_within_tolerance_total") == 5
    assert value(text, 'interval_covered_total{level="0.95"}') == 6
    assert value(text, 'fallback_activations_total{reason="failing"}') == 1
    assert value(text, "desired_workers") == 2  # (2 placed + 90 s / 60 s) / 2 slots
    assert value(text, 'event_loop_lag_seconds{process="scheduler"}') == pytest.approx(0.003)
    assert value(text, "leaders") == 1
    assert value(text, 'predictor_info{mode="predictive",predictor="learned",shadow=""}') == 1


def test_edges_of_buckets_are_always_the_same():
    empty = structs.replace(frame(), tallies=tallies(decision_ns=Histogram([], 0.0)))
    edges = [
        [
            line.split("le=")[1].split('"')[1]
            for line in scraped(one).splitlines()
            if "decision_duration_seconds_b" in line
        ]
        for one in (frame(), empty)
    ]
    assert edges[0] == edges[1]
    assert len(edges[0]) == 28 - 12 + 2


def test_shards_are_added_up_and_the_oldest_picture_counts():
    other = structs.replace(frame(), shard=1, at_ms=50_000, queued=1)
    text = scraped(frame(), other)
    assert value(text, "tasks_submitted_total") == 24
    assert value(text, "decision_duration_seconds_count") == 20
    assert value(text, 'backlog_tasks{stage="queued"}') == 31
    assert value(text, "frame_timestamp_seconds") == 50.0
    assert value(text, "leaders") == 1  # the other one has not painted for a while


def test_sum_goes_on_when_another_scheduler_takes_over():
    totals = Totals()
    assert totals.take([frame(), structs.replace(frame(), shard=1)]).intervals == 12
    more = structs.replace(frame(), tallies=tallies(intervals=8))
    assert totals.take([more]).intervals == 14
    successor = structs.replace(frame(), owner="two", tallies=tallies(since_ms=9_000, intervals=1))
    assert totals.take([successor]).intervals == 15
    assert totals.take([successor]).decision_ns.count == 30
    assert totals.take([structs.replace(frame(), tallies=None)]).intervals == 15


def test_task_types_are_bounded_whatever_schedulers_send():
    many = {f"type-{number:03}": Histogram([1], 1.0) for number in range(TYPES_MAX)}
    others = {f"else-{number:03}": Histogram([1], 1.0) for number in range(50)}
    total = Totals().take(
        [
            structs.replace(frame(), tallies=tallies(execution_ms=many)),
            structs.replace(frame(), shard=1, tallies=tallies(execution_ms=others)),
        ]
    )
    assert len(total.execution_ms) == TYPES_MAX + 1
    assert total.execution_ms[OTHER_TYPE].count == 50


def test_hostile_type_cannot_break_the_text():
    nasty = 'a"}\nevil 1\n\\'
    text = scraped(structs.replace(frame(), tallies=tallies(execution_ms={nasty: Histogram([1], 1.0)})))
    assert not any(line.startswith("evil") for line in text.splitlines())


async def test_last_pictures_stand_while_the_store_is_away():
    answers = [[frame()], StoreUnreachable("gone")]

    async def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    metrics = Metrics(read, Own, 60.0)
    texts = [(await metrics.scrape("*/*"))[0].decode() for _ in range(2)]
    assert [value(text, "redis_up") for text in texts] == [1, 0]
    assert [value(text, "tasks_submitted_total") for text in texts] == [12, 12]


async def test_format_is_the_one_that_is_asked_for():
    async def read():
        return [frame()]

    metrics = Metrics(read, Own, 60.0)
    text, kind = await metrics.scrape("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
