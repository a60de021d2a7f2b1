"""Counting in the decision process: a list index per observation, and nothing else.

Law: nothing here is read by a decision, raises, or depends on how many workers there are. What ends is looked at before
its turn, since its record is gone afterwards; what is placed, behind it. benchmarks/test_tally.py says what it costs.
"""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence

from nexus_sched.core.records import TaskRecord
from nexus_sched.model.effects import AnyEffect, Dispatch
from nexus_sched.model.events import AnyEvent, PredictorOverran, TaskFinished
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.tallies import OTHER_TYPE, TYPES_MAX, Histogram, Tallies

DOUBLINGS = 42  # 2^41 ms are 70 years
OVER_BUDGET, FAILING = "over-budget", "failing"
CLOSED = "closed"


class Buckets:
    """Counts of values in buckets that double."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * DOUBLINGS
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value`, which is not negative, `times` times."""
        self.counts[min(int(value).bit_length(), DOUBLINGS - 1)] += times
        self.sum += value * times

    def histogram(self) -> Histogram:
        """What has been counted."""
        length = DOUBLINGS
        while length and not self.counts[length - 1]:
            length -= 1
        return Histogram(self.counts[:length], self.sum)


class Tally:
    """What one scheduler has counted since it started."""

    def __init__(self, since_ms: int = 0) -> None:
        self.since_ms = since_ms
        self.decision_ns, self.commit_us = Buckets(), Buckets()
        self.dispatch_ms, self.inbox_ms, self.error_percent = Buckets(), Buckets(), Buckets()
        self.execution_ms: dict[str, Buckets] = {}
        self.loop_lag_ms = 0.0
        self._covered_p50 = self._covered_p80 = self._covered_p95 = self._intervals = 0
        self._fallbacks = {OVER_BUDGET: 0, FAILING: 0}
        self._breaker = CLOSED
        self._overran = False

    # -- around a turn

    def before(self, tasks: Mapping[str, TaskRecord], events: Sequence[AnyEvent]) -> None:
        """Look at what ends in this turn; `tasks` are those that live before it."""
        for event in events:
            if type(event) is TaskFinished:
                record = tasks.get(event.task_id)
                if record is not None and event.outcome is Outcome.SUCCEEDED and event.run_ms >= 0.0:
                    self._ended(record, event)
            elif type(event) is PredictorOverran:
                self._overran = True

    def after(self, effects: Sequence[AnyEffect], spent_ns: int, decisions: int) -> None:
        """Look at what was placed in this turn, which is at least one task."""
        self.decision_ns.observe(spent_ns / decisions, decisions)
        dispatch_ms = self.dispatch_ms
        for effect in effects:
            if type(effect) is Dispatch:
                dispatch_ms.observe(effect.decision.wait_ms)

    def commit(self) -> Callable[[Future[int]], None]:
        """Call this when a commit is sent, and what it gives when the answer is there."""
        sent_ns = time.perf_counter_ns()

        def answered(_: Future[int]) -> None:
            self.commit_us.observe((time.perf_counter_ns() - sent_ns) / 1e3)

        return answered

    def _ended(self, record: TaskRecord, event: TaskFinished) -> None:
        self.inbox_ms.observe(event.queue_ms)
        self._of_type(record.task.type).observe(event.run_ms)
        booking = record.booking
        if booking is not None and booking.prediction is not None and event.run_ms > 0.0:
            self._judge(booking.prediction, event.run_ms)

    def _judge(self, prediction: TaskPrediction, run_ms: float) -> None:
        self.error_percent.observe(100.0 * abs(prediction.p50_ms - run_ms) / run_ms)
        self._intervals += 1
        self._covered_p50 += run_ms <= prediction.p50_ms
        self._covered_p80 += run_ms <= prediction.p80_ms
        self._covered_p95 += run_ms <= prediction.p95_ms

    def _of_type(self, name: str) -> Buckets:
        found = self.execution_ms.get(name)
        if found is None:
            if len(self.execution_ms) >= TYPES_MAX or name == OTHER_TYPE:
                return self.execution_ms.setdefault(OTHER_TYPE, Buckets())
            found = self.execution_ms[name] = Buckets()
        return found

    # -- twice a second

    def breaker(self, state: str) -> None:
        """Where the breaker of prediction stands now."""
        if self._breaker == CLOSED and state != CLOSED:
            self._fallbacks[OVER_BUDGET if self._overran else FAILING] += 1
        self._breaker = state
        self._overran = self._overran and state != CLOSED

    def tallies(self, journal_lag_turns: int) -> Tallies:
        """All of it, as it travels."""
        return Tallies(
            since_ms=self.since_ms,
            decision_ns=self.decision_ns.histogram(),
            commit_us=self.commit_us.histogram(),
            dispatch_ms=self.dispatch_ms.histogram(),
            inbox_ms=self.inbox_ms.histogram(),
            error_percent=self.error_percent.histogram(),
            execution_ms={name: each.histogram() for name, each in self.execution_ms.items()},
            covered={"0.5": self._covered_p50, "0.8": self._covered_p80, "0.95": self._covered_p95},
            intervals=self._intervals,
            fallbacks=dict(self._fallbacks),
            journal_lag_turns=journal_lag_turns,
            loop_lag_ms=self.loop_lag_ms,
        )
