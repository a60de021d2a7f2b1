"""How fast a queue is predicted to drain: what a producer that was refused is told to wait for."""

from __future__ import annotations

import pytest

from nexus_sched.core.records import WorkerRecord
from nexus_sched.runtime.picture import DRAIN_TASKS_S_MAX, predict_drain


def worker(slots: int, factor: float = 1.0, *, accepting: bool = True) -> WorkerRecord:
    made = WorkerRecord(f"w{slots}", 0, slots, "", 1)
    made.factor, made.accepting = factor, accepting
    return made


@pytest.mark.parametrize(
    ("predicted_ms", "queued", "ring", "expected_tasks_s"),
    [
        (10_000.0, 100, [worker(1)], 10.0),  # tasks of 100 ms, one at a time
        (10_000.0, 100, [worker(4), worker(2, 2.0)], 50.0),  # one of them is half as fast
        (10_000.0, 100, [worker(4, accepting=False)], 0.0),
        (10_000.0, 100, [], 0.0),
        (0.0, 100, [worker(4)], 0.0),  # nothing is predicted
        (0.0, 0, [worker(4)], 0.0),
        (1.0, 1_000, [worker(64)], DRAIN_TASKS_S_MAX),
    ],
)
def test_drain_is_what_the_slots_finish_at_the_predicted_speed(predicted_ms, queued, ring, expected_tasks_s):
    assert predict_drain(predicted_ms, queued, ring) == pytest.approx(expected_tasks_s)
