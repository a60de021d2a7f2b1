"""What a worker says of itself: its offer when it registers, refused here if the scheduler would, and its load."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.model.events import WorkerJoined
from nexus_sched.model.worker import WorkerOffer, WorkerReport
from nexus_sched.runtime.inputs import events_of
from nexus_sched.worker import WorkerSettings
from nexus_sched.worker.load import MachineLoad
from tests.unit.worker.bench import WORKER, Desk, FaultyStore, Gate, eventually, serving


async def test_offer_carries_slots_class_and_labels(desk: Desk, store: FaultyStore):
    settings = {"labels": {"zone": "a"}, "taints": ["spot"], "resources": {"gpu": 2.0, "memory": 2.0**33}}
    async with serving(Gate().app, store, slots=7, worker_class="c5", **settings):
        offer = msgspec.msgpack.decode(desk.shard.workers[WORKER].offer, type=WorkerOffer)
    assert (offer.slots, offer.worker_class, offer.labels) == (7, "c5", {"zone": "a"})
    assert (offer.taints, offer.resources) == (("spot",), {"gpu": 2.0, "memory": 2.0**33})


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"slots": 0}, "slots"),
        ({"worker_class": "a b"}, "class"),
        ({"labels": {"a b": "1"}}, "label"),
        ({"labels": {"zone": "a b"}}, "label"),
        ({"labels": {f"l{number}": "" for number in range(65)}}, "labels"),
        ({"taints": ["a b"]}, "taint"),
        ({"taints": [f"t{number}" for number in range(17)]}, "taints"),
        ({"resources": {"gpu": 0.0}}, "resources"),
        ({"resources": {"a b": 1.0}}, "resource"),
        ({"resources": {f"r{number}": 1.0 for number in range(17)}}, "resources"),
    ],
)
def test_offer_that_the_scheduler_would_refuse_is_refused_at_once(settings: dict[str, Any], word: str):
    with pytest.raises(InvalidInput, match=word):
        WorkerSettings(**({"worker_id": WORKER, "slots": 1} | settings))


def test_largest_offer_is_taken_by_the_border():
    settings = WorkerSettings(
        worker_id="w" * 128,
        slots=4096,
        worker_class="c" * 128,
        labels={f"{number:064}": "x" * 128 for number in range(64)},
        taints=[f"{number:0128}" for number in range(16)],
        resources={f"{number:064}": 1e15 for number in range(16)},
    )
    (event,) = events_of("rep", [[b"1-0", [b"k", b"join", b"w", b"w1", b"n", b"1", b"f", settings.offer()]]])
    assert isinstance(event, WorkerJoined), event
    assert (len(event.labels), len(event.taints), len(event.resources)) == (64, 16, 16)


async def test_load_of_the_machine_is_reported_only_if_it_is_wanted(desk: Desk, store: FaultyStore):
    for wanted in (False, True):
        store.reports.clear()
        async with serving(Gate().app, store, report_load=wanted, report_s=0.05, heartbeat_s=0.05) as worker:
            await asyncio.sleep(0.2)
            worker.drain()  # so that there is something to say
            await eventually(lambda: store.reports)
        reports = [msgspec.msgpack.decode(report, type=WorkerReport) for report in store.reports]
        assert any(report.cpu is not None for report in reports) is wanted


def test_load_is_the_share_of_ticks_that_were_used(tmp_path: Path):
    source = tmp_path / "stat"
    source.write_text("cpu  100 0 100 700 100 0 0 0 50 0\n")
    load = MachineLoad(source)
    assert load.share() is None  # no time has passed
    source.write_text("cpu  150 0 125 710 115 0 0 0 50 0\ncpu0 1 2 3\n")
    assert load.share() == 0.75
    source.write_text("cpu  150 0 125 810 115 0 0 0 50 0\n")
    assert load.share() == 0.0
    for text in ("", "cpu", "cpu a b c d e", "intr 1 2 3 4 5 6"):
        source.write_text(text)
        assert load.share() is None
    source.unlink()
    assert MachineLoad(source).share() is None
