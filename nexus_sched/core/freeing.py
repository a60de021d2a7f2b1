"""When a worker will be free: what it runs, what waits in its inbox, and what has taken longer than was predicted.

The oldest tasks are taken to run, one in each slot; the others follow in order, each into the slot that is free first.
Medians add up along a slot. The spread of a sum is the root of the sum of the squared spreads of its tasks: they are
taken to err independently, so ten tasks of a wide type do not make ten times its uncertainty.
A running task that is past most of its prediction is taken to have half of what has passed left (prediction.md,
building blocks).
"""

from __future__ import annotations

from heapq import heapify, heapreplace
from math import sqrt

from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.model.answer import FreeIn

OVERDUE_SHARE = 0.8  # of the prediction: from here on what has passed says more than what is left of it
REMAINING_SHARE = 0.5  # of what has passed
LOOK_MAX = 64  # tasks of one worker
SPREAD_SHARE = 1.0  # the same for the distance from the median to the 95th percentile: nobody knows any more


def left_ms(record: TaskRecord, now_ms: int) -> tuple[float, float] | None:
    """Median of what a running task has still to do, and the distance of its 95th percentile from there.

    `None` for a task without a prediction.
    """
    booking = record.booked
    prediction = booking.prediction
    if prediction is None:
        return None
    passed_ms = max(0.0, float(now_ms - booking.placed_ms))
    p50_ms = prediction.p50_ms
    if passed_ms < OVERDUE_SHARE * p50_ms:
        return p50_ms - passed_ms, max(0.0, prediction.p95_ms - p50_ms)
    median_ms = max(p50_ms - passed_ms, REMAINING_SHARE * passed_ms)
    return median_ms, max(prediction.p95_ms - passed_ms - median_ms, SPREAD_SHARE * median_ms)


def expected_left_ms(record: TaskRecord, now_ms: int) -> float:
    """Booked work of a running task that is still to do; 0 without a prediction."""
    booking = record.booked
    if booking.prediction is None:
        return 0.0
    passed_ms = max(0.0, float(now_ms - booking.placed_ms))
    return max(booking.booked_ms - passed_ms, REMAINING_SHARE * passed_ms)


def slot_free_at_ms(worker: WorkerRecord, booked_ms: float, share: float, now_ms: int) -> float:
    """When a worker without a free slot is expected to have one for one more task, in ms since the epoch.

    What it runs ends when it was expected to, what waits in its inbox goes first, and others leave it a `share` of
    itself. `booked_ms` is all of its booked work. O(in flight * log slots), or O(1) where that is too many to look at:
    then slots become free one by one at the rate of the mean run.
    """
    slots, in_flight = worker.slots, worker.in_flight
    if in_flight > LOOK_MAX:
        left_ms = booked_ms / in_flight * (in_flight - slots + 1) / slots
    elif in_flight == 1:
        (record,) = worker.placed.values()
        booking = record.booked
        left_ms = booking.placed_ms + booking.booked_ms - now_ms
    else:
        bookings = [record.booked for record in worker.placed.values()]
        ends = [max(0.0, booking.placed_ms + booking.booked_ms - now_ms) for booking in bookings[:slots]]
        heapify(ends)
        for booking in bookings[slots:]:
            heapreplace(ends, ends[0] + booking.booked_ms)
        left_ms = ends[0]
    return now_ms + max(0.0, left_ms) / share


def free_in(worker: WorkerRecord, now_ms: int) -> FreeIn | None:
    """How long until a worker has finished what it holds, `None` if something there has no prediction.

    O(in flight * log slots).
    """
    slots = [(0.0, 0.0)] * worker.slots  # (median, variance) of when each is free
    for index, record in enumerate(worker.placed.values()):
        prediction = record.booked.prediction
        if prediction is None:
            return None
        if index < worker.slots:
            median_ms, spread_ms = left_ms(record, now_ms) or (0.0, 0.0)
        else:
            median_ms, spread_ms = prediction.p50_ms, max(0.0, prediction.p95_ms - prediction.p50_ms)
        at_ms, variance = slots[0]  # a slot that nothing has gone to is the first
        heapreplace(slots, (at_ms + median_ms, variance + spread_ms * spread_ms))
    return FreeIn(max(at_ms for at_ms, _ in slots), max(at_ms + sqrt(variance) for at_ms, variance in slots))
