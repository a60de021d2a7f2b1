"""What a worker says of itself: its offer when it registers, refused here if the scheduler would, and its load."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.model.events import WorkerJoined
from nexus_sched.model.worker import WorkerOffer, WorkerReport
from nexus_sched.runtime.inputs import events_of
from nexus_sched.worker import WorkerSettings
from nexus_sched.worker.load import MachineLoad, stepped
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


@pytest.mark.parametrize("alone", [False, True])
async def test_load_of_the_machine_is_reported_and_weighs_only_where_a_worker_is_alone(
    desk: Desk, store: FaultyStore, alone: bool
):
    async with serving(Gate().app, store, alone=alone, report_s=0.05, heartbeat_s=0.05) as worker:
        await asyncio.sleep(0.2)
        worker.drain()  # so that there is something to say
        await eventually(lambda: store.reports)
    reports = [msgspec.msgpack.decode(report, type=WorkerReport) for report in store.reports]
    assert {report.shared for report in reports} == {not alone}
    for report in reports:
        assert report.memory is not None
        assert 0.0 < report.memory <= 1.0
    assert any(report.cpu is not None and report.network_bytes_s is not None for report in reports)


def test_load_follows_what_the_machine_does():
    at_s = 0.0
    load = MachineLoad(lambda: at_s)
    busy_until = time.process_time() + 0.2
    while time.process_time() < busy_until:
        pass
    at_s = 1.0
    found = load.look()
    assert found.cpu is not None
    assert 0.0 < found.cpu <= 1.0  # at least one of the processors was busy all the time
    assert found.network_bytes_s is not None
    assert found.network_bytes_s >= 0.0


def test_share_is_rounded_and_bounded():
    assert [stepped(share) for share in (-1.0, 0.0, 0.024, 0.026, 0.51, 0.99, 7.0)] == [
        0.0,
        0.0,
        0.0,
        0.05,
        0.5,
        1.0,
        1.0,
    ]
