"""From what the engine has decided to quantiles of a task's start and finish, before they are calibrated.

A task that is with a worker waits for what is before it there: the oldest tasks run, one in each slot, the others
follow in order. One that waits is told of by `core.eta_queue`. A sum of independent spans has the sum of their medians,
and as spread the root of the sum of their squared spreads.
"""

from __future__ import annotations

from heapq import heapreplace
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from nexus_sched.core.eta_calibration import BEHIND, FREE_SLOT, WAITED, Raw
from nexus_sched.core.eta_left import left_ms
from nexus_sched.core.eta_opinion import RUNS_MIN, Opinions, mixed
from nexus_sched.core.eta_queue import EtaQueue
from nexus_sched.core.forecasts import PINNED
from nexus_sched.core.predictors.learned import STRANGE
from nexus_sched.core.predictors.usable import scaled
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.model.prediction import TaskPrediction

if TYPE_CHECKING:
    from nexus_sched.core.state import EngineState

Z80_OF_Z95 = 0.5117  # standard normal quantiles, 0.8416 / 1.6449: a spread to p80 from one to p95
WAIT_SPREAD = 0.2  # of the wait in the queue, to its p80, before calibration


class Found(NamedTuple):
    """What is thought of a task, if there is anything to go by."""

    raw: Raw | None
    opinions: tuple[float, float] | None = None  # p50 of its run without and with a second opinion, in ms


class Estimator:
    """Reads the engine's state, and changes nothing."""

    def __init__(self, state: EngineState, queue: EtaQueue, opinions: Opinions) -> None:
        self._state = state
        self._queue = queue
        self._opinions = opinions

    def estimate(self, record: TaskRecord) -> Found:
        """Of a live task, as of this turn. Times in milliseconds from its instant on."""
        if record.waiting:
            return self._waiting(record)
        worker = self._state.roster.by_name.get(record.worker)
        prediction = _own(record.booked.prediction)
        return Found(None) if worker is None or prediction is None else self._placed(record, worker, prediction)

    def _placed(self, record: TaskRecord, worker: WorkerRecord, prediction: TaskPrediction) -> Found:
        opinions = self._two_opinions(record, worker, prediction)
        if opinions is not None and self._opinions.heard(record.task.type):
            prediction = scaled(prediction, opinions[1] / opinions[0])
        now_ms = self._state.now_ms
        transit_ms = self._state.settings.round_trip_ms / 2.0
        before = _before(worker, record, now_ms) if worker.in_flight > worker.slots else None
        if before is not None:
            start_ms, spread95_ms = before
            behind = _sum(prediction, start_ms + transit_ms, Z80_OF_Z95 * spread95_ms, spread95_ms, BEHIND)
            return Found(behind, opinions)
        passed_ms = float(max(0, now_ms - record.booked.placed_ms))
        if not passed_ms:
            return Found(_sum(prediction, transit_ms, 0.0, 0.0, FREE_SLOT), opinions)
        p50_ms, p80_ms, p95_ms = left_ms(prediction, passed_ms)
        known = (prediction.confidence, prediction.basis)
        return Found(Raw(0.0, 0.0, 0.0, p50_ms, p80_ms - p50_ms, p95_ms - p50_ms, *known, FREE_SLOT), opinions)

    def _two_opinions(
        self, record: TaskRecord, worker: WorkerRecord, prediction: TaskPrediction
    ) -> tuple[float, float] | None:
        """The p50 of a placed task's run without and with a second opinion; `None` if there is no other one."""
        if prediction.basis == PINNED or worker.samples < RUNS_MIN or prediction.p50_ms <= 0.0:
            return None
        state = self._state
        second = _own(state.forecasts.on_class(record.task, worker.worker_class, state.now_ms))
        if second is None:
            return None
        return prediction.p50_ms, mixed(prediction.p50_ms, second.p50_ms * worker.factor)

    def _waiting(self, record: TaskRecord) -> Found:
        state, queue = self._state, self._queue
        prediction = _own(state.forecasts.predict(record.task, state.now_ms))
        if prediction is None:
            return Found(None)
        held_ms = float(max(0, record.past.not_before_ms - state.now_ms))
        wait_ms = 0.0
        if record.ticket > 0 and state.backlog.ready > state.roster.table.open_count:
            wait_ms = queue.wait_ms(record, state.now_ms)
        landing_ms = max(0.0, queue.state.landing_p50_ms)
        landing_spread_ms = max(0.0, queue.state.landing_p80_ms) - landing_ms
        spread80_ms = sqrt((WAIT_SPREAD * wait_ms) ** 2 + landing_spread_ms**2)
        start_ms = max(wait_ms, held_ms) + landing_ms + state.settings.round_trip_ms / 2.0
        return Found(_sum(prediction, start_ms, spread80_ms, spread80_ms / Z80_OF_Z95, WAITED))


def _own(prediction: TaskPrediction | None) -> TaskPrediction | None:
    """The prediction, if it is of the task's own type or hint: nobody is told what other types took."""
    return None if prediction is None or prediction.basis in STRANGE else prediction


def _sum(prediction: TaskPrediction, start_ms: float, spread80_ms: float, spread95_ms: float, way: int) -> Raw:
    """A wait and a run behind it. They err independently: the spread of the sum is the root of the summed squares."""
    run80_ms = max(0.0, prediction.p80_ms - prediction.p50_ms)
    run95_ms = max(run80_ms, prediction.p95_ms - prediction.p50_ms)
    return Raw(
        start_ms,
        spread80_ms,
        spread95_ms,
        start_ms + prediction.p50_ms,
        sqrt(spread80_ms**2 + run80_ms**2),
        sqrt(spread95_ms**2 + run95_ms**2),
        prediction.confidence,
        prediction.basis,
        way,
    )


def _before(worker: WorkerRecord, record: TaskRecord, now_ms: int) -> tuple[float, float] | None:
    """Median and spread to p95 of the time until a task has a slot, as in `core.freeing`; `None` if it has one."""
    slots = [(0.0, 0.0)] * worker.slots
    for index, other in enumerate(worker.placed.values()):
        if other is record:
            return None if index < worker.slots else (slots[0][0], sqrt(slots[0][1]))
        booking = other.booked
        prediction = booking.prediction
        if prediction is None:
            continue
        if index < worker.slots:
            p50_ms, _, p95_ms = left_ms(prediction, float(max(0, now_ms - booking.placed_ms)))
            spread_ms = p95_ms - p50_ms
        else:
            p50_ms, spread_ms = prediction.p50_ms, max(0.0, prediction.p95_ms - prediction.p50_ms)
        at_ms, variance = slots[0]
        heapreplace(slots, (at_ms + p50_ms, variance + spread_ms * spread_ms))
    return None
