"""Waits against answers by hand: what is before a task, what will overtake it, and how fast the pool works it off."""

from __future__ import annotations

from random import Random

import pytest

from nexus_sched.core.eta_queue import AWAKE_MS, HALF_MS, EtaQueue, QueueState, bucket_of, edges_of
from nexus_sched.core.records import TaskRecord
from nexus_sched.testing.builders import task

SLOTS = 10


def waiting(number: int, key: float, mean_ms: float) -> TaskRecord:
    """A record as the backlog holds it."""
    record = TaskRecord(task(f"t{number}"), "q:5", "1-0")
    record.key, record.mean_ms, record.ticket = key, mean_ms, number + 1
    return record


def wait_ms(queue: EtaQueue, key: float, now_ms: int) -> float:
    """The wait of a task of this key that takes next to no time itself."""
    record = waiting(10**6, key, 0.001)
    queue.entered(record)
    found = queue.wait_ms(record, now_ms)
    queue.left(record)
    return found


@pytest.fixture
def queue() -> EtaQueue:
    listening = EtaQueue()
    listening.wake([], 0)
    listening.state.slots = SLOTS
    return listening


def test_task_waits_for_the_work_with_a_smaller_key_only(queue: EtaQueue):
    for number, key in enumerate((1_000.0, 2_000.0, 3_000.0)):
        queue.entered(waiting(number, key, 500.0))
    assert wait_ms(queue, 500.0, 0) == 0.0
    assert wait_ms(queue, 2_500.0, 0) == pytest.approx(2 * 500.0 / SLOTS)
    assert wait_ms(queue, 9_000.0, 0) == pytest.approx(3 * 500.0 / SLOTS)


def test_half_of_what_is_beside_a_task_is_before_it(queue: EtaQueue):
    records = [waiting(number, 1_000.0 + 0.1 * number, 100.0) for number in range(11)]
    for record in records:
        queue.entered(record)
    assert queue.wait_ms(records[3], 0) == pytest.approx(10 * 100.0 / 2 / SLOTS)


def test_task_that_left_is_not_waited_for(queue: EtaQueue):
    records = [waiting(number, 100.0 * number, 500.0) for number in range(50)]
    for record in records:
        queue.entered(record)
    Random(3).shuffle(records)
    for record in records:
        queue.left(record)
    assert wait_ms(queue, 1e6, 0) == 0.0
    queue.left(records[0])  # once more changes nothing
    assert wait_ms(queue, 1e6, 0) == 0.0


def test_work_is_worked_off_as_fast_as_was_measured(queue: EtaQueue):
    records = [waiting(number, float(number), 50.0) for number in range(800)]
    for record in records:
        queue.entered(record)
    queue.turn(800, 0)
    for turn in range(1, 401):  # in 10 ms 10 slots could do 100 ms of work, and 50 ms leave
        queue.left(records[turn])
        queue.turn(800 - turn, 10 * turn)
    assert wait_ms(queue, 1e6, 4_000) == pytest.approx(400 * 50.0 / (0.5 * SLOTS), rel=0.1)


def test_tasks_without_a_prediction_do_not_count(queue: EtaQueue):
    records = [waiting(number, 100.0, -1.0) for number in range(3)]
    for record in records:
        queue.entered(record)
    queue.left(records[0])
    queue.left(records[1])
    assert wait_ms(queue, 1_000.0, 0) == 0.0


def test_nobody_works_off_without_slots(queue: EtaQueue):
    last = waiting(1, 1_000.0, 500.0)
    queue.state.slots = 0
    queue.entered(waiting(0, 0.0, 500.0))
    queue.entered(last)
    assert queue.wait_ms(last, 0) >= 86_400_000.0


def test_later_arrivals_with_smaller_keys_overtake(queue: EtaQueue):
    """Every ms 5 ms of work arrive in short tasks; a task of offset 2,000 is overtaken for two seconds.

    10 ms of work leave in a ms. 30,000 ms are before it: at first 5 ms of it are gained a ms, so 20,000 are left after
    two seconds, and from then on nobody overtakes: 2,000 more.
    """
    now_ms = 0
    for number in range(2_000):
        record = waiting(number, now_ms + 15.0, 25.0)
        queue.entered(record)
        queue.arrived(record, now_ms)
        queue.left(record)
        now_ms += 5
        queue.turn(0, now_ms)
    queue.entered(waiting(10_000, now_ms - 100.0, 30_000.0))
    assert wait_ms(queue, now_ms + 2_000.0, now_ms) == pytest.approx(4_000.0, rel=0.02)
    assert wait_ms(queue, now_ms + 10.0, now_ms) == pytest.approx(3_000.0, rel=0.02)


def test_arrivals_are_forgotten_after_a_window(queue: EtaQueue):
    record = waiting(0, 10.0, 1e6)
    queue.entered(record)
    queue.arrived(record, 0)
    queue.left(record)
    queue.entered(waiting(1, 0.0, 1_000.0))
    overtaken_ms = wait_ms(queue, 5_000.0, 1)
    for half in (1, 2, 3):
        queue.turn(1, int(half * HALF_MS))
    assert overtaken_ms > 5_000.0
    now_ms = int(3 * HALF_MS)
    assert wait_ms(queue, now_ms + 5_000.0, now_ms) < 5_000.0


def test_queue_wakes_with_what_waits_and_sleeps_without(queue: EtaQueue):
    asleep = EtaQueue()
    asleep.state.slots = SLOTS
    assert not asleep.awake
    records = [waiting(number, 10.0 * number, 500.0) for number in range(5)]
    asleep.wake([*records, TaskRecord(task("placed"), "i:w1", "1-0")], 7)
    assert asleep.state.awake_until_ms == 7 + AWAKE_MS
    for record in records:
        queue.entered(record)
    assert wait_ms(asleep, 1e6, 7) == wait_ms(queue, 1e6, 7) > 0.0
    asleep.sleep()
    assert not asleep.awake
    assert wait_ms(asleep, 1e6, 8) == 0.0


def test_restored_queue_goes_on_like_the_one_that_was_captured(queue: EtaQueue):
    random = Random(11)
    records = [waiting(number, random.uniform(0, 1e5), random.expovariate(1 / 500)) for number in range(300)]
    for record in records:
        queue.entered(record)
        queue.arrived(record, 0)
    for record in records[::3]:
        queue.left(record)
        record.ticket = 0
    queue.turn(200, 40)
    queue.landed(70.0)
    restored = EtaQueue()
    restored.restore(queue.state, records)
    assert restored.scalars() == queue.scalars()
    for key in (0.0, 5e3, 5e4, 2e5):
        assert wait_ms(restored, key, 41) == wait_ms(queue, key, 41)


def test_landing_follows_its_quantiles(queue: EtaQueue):
    random = Random(5)
    waits = [random.expovariate(1 / 100.0) for _ in range(4_000)]
    for wait_ms in waits:
        queue.landed(wait_ms)
    waits.sort()
    state: QueueState = queue.state
    assert state.landing_p50_ms == pytest.approx(waits[2_000], rel=0.3)
    assert state.landing_p80_ms == pytest.approx(waits[3_200], rel=0.3)


@pytest.mark.parametrize("offset", [-1e6, -5_000.5, -1.0, -0.5, 0.0, 0.99, 1.0, 1.5, 2.0, 1_023.9, 1_024.0, 1e9])
def test_offset_lies_in_its_bucket(offset: float):
    low, high = edges_of(bucket_of(offset))
    assert low <= offset <= high
