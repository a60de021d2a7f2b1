"""What is counted in the decision process: once each, in the right bucket, and never more types than are allowed."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.core.records import Booking, TaskRecord
from nexus_sched.model.events import PredictorOverran, TaskFinished
from nexus_sched.model.frame import decode_frame, encode_frame
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.tallies import OTHER_TYPE, TYPES_MAX
from nexus_sched.runtime.tally import DOUBLINGS, Buckets, Tally
from nexus_sched.testing.builders import Bench, finished, joined, prediction, submitted, task
from tests.unit.gateway.metrics.scene import frame


def ended(task_id: str, run_ms: float, queue_ms: float = 0.0, outcome: Outcome = Outcome.SUCCEEDED) -> TaskFinished:
    return TaskFinished(task_id, 1, "w1", outcome, run_ms, queue_ms, 0)


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (0.9, 0), (1.0, 1), (1.9, 1), (2.0, 2), (1_023.0, 10), (1_024.0, 11), (1e30, 41)]
)
def test_value_falls_into_the_bucket_of_its_doubling(value: float, bucket: int):
    buckets = Buckets()
    buckets.observe(value, 3)
    assert buckets.histogram().counts == [0] * bucket + [3]
    assert (buckets.histogram().sum, buckets.histogram().count) == (3 * value, 3)
    assert bucket < DOUBLINGS


def test_run_is_counted_by_type_and_held_against_its_prediction():
    tally, told = Tally(), structs.replace(prediction(100.0), p80_ms=150.0, p95_ms=200.0)
    tasks = {name: TaskRecord(task(name, "resize"), "i:w1", "1-0", booking=Booking(prediction=told)) for name in "abc"}
    tally.before(tasks, [ended("a", 80.0, 5.0), ended("b", 160.0), ended("c", 50.0, outcome=Outcome.FAILED)])
    tally.before(tasks, [ended("nobody", 1.0), ended("a", -1.0)])
    counted = tally.tallies(0)
    assert (counted.execution_ms["resize"].sum, counted.inbox_ms.count) == (240.0, 2)
    assert (counted.intervals, counted.covered) == (2, {"0.5": 1, "0.8": 1, "0.95": 2})
    assert counted.error_percent.sum == pytest.approx(25.0 + 37.5)


def test_decisions_are_counted_with_what_they_cost_and_how_long_the_task_had_waited():
    bench, tally = Bench(), Tally()
    bench.turn(joined(slots=2))
    effects = bench.turn(submitted("t1"), submitted("t2"), after_ms=9)
    tally.after(effects, 10_000, 2)
    counted = tally.tallies(3)
    assert (counted.decision_ns.count, counted.decision_ns.sum) == (2, 10_000.0)
    assert counted.dispatch_ms.count == 2
    assert counted.journal_lag_turns == 3
    tally.before(bench.engine.tasks, [finished("t1", run_ms=30.0)])
    assert [histogram.sum for histogram in tally.tallies(0).execution_ms.values()] == [30.0]


def test_types_are_bounded():
    tally = Tally()
    for number in range(TYPES_MAX + 50):
        name = f"t{number}"
        tally.before({name: TaskRecord(task(name, f"type-{number}"), "i:w1", "1-0")}, [ended(name, 1.0)])
    counted = tally.tallies(0).execution_ms
    assert len(counted) == TYPES_MAX + 1
    assert counted[OTHER_TYPE].count == 50


def test_stepping_down_is_counted_once_with_its_reason():
    tally = Tally()
    for state in ("closed", "open", "open", "half-open", "open", "closed", "open"):
        tally.breaker(state)
    tally.breaker("closed")
    tally.before({}, [PredictorOverran(900.0)])
    tally.breaker("open")
    tally.breaker("closed")
    tally.breaker("open")
    assert tally.tallies(0).fallbacks == {"over-budget": 1, "failing": 3}


def test_counts_travel_in_the_frame():
    painted = frame()
    assert decode_frame(encode_frame(painted)) == painted
