"""Workers that became slow are tried again, ever more rarely while they stay slow."""

from __future__ import annotations

import pytest

from nexus_sched._kernel.pace import DEAD_BAND
from nexus_sched.core.forgiving import EVERY_MS, EVERY_MS_MAX, Forgiving
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.roster import Roster
from nexus_sched.model.settings import EngineSettings
from nexus_sched.testing.builders import joined


class Case:
    """One worker that was at 1 and is found to be five times as slow at the instant 0."""

    def __init__(self) -> None:
        self.roster = Roster()
        self.forgiving = Forgiving(self.roster)
        self.worker: WorkerRecord = self.roster.join(joined("w1"), EngineSettings(), "predictive", 0)
        self.slow(0)

    def slow(self, now_ms: int) -> None:
        former = self.worker.factor
        self.roster.paces.restart(self.worker, self.worker.row, 5.0, 2)
        self.forgiving.begin(self.worker, former, now_ms)

    def tend(self) -> int:
        """Go to the next step; the answer is when that was."""
        due_ms = self.forgiving.due_ms()
        assert due_ms is not None
        self.forgiving.tend(due_ms)
        return due_ms

    def judge(self, ratio: float, now_ms: int) -> None:
        assert self.worker.slowed is not None
        self.forgiving.judge(self.worker, self.worker.slowed, ratio, now_ms)


def test_factor_goes_half_the_way_back_at_each_step():
    case = Case()
    steps = [(case.tend(), case.worker.factor) for _ in range(3)]
    assert steps == [(EVERY_MS, 3.0), (2 * EVERY_MS, 2.0), (3 * EVERY_MS, 1.5)]


def test_steps_end_where_it_was():
    case = Case()
    while case.forgiving.due_ms() is not None:
        case.tend()
    assert case.worker.factor == pytest.approx(1.0, abs=DEAD_BAND)
    assert case.worker.slowed is not None  # the next run decides


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.0])
def test_run_near_the_former_pace_ends_it(ratio: float):
    case = Case()
    case.tend()
    case.judge(ratio, EVERY_MS + 10)
    assert (case.worker.factor, case.worker.slowed) == (1.0, None)


def test_run_at_the_slow_pace_doubles_the_interval_once_it_had_been_forgiven():
    case = Case()
    for _ in range(3):
        now_ms = case.tend()
    case.judge(5.0, now_ms)
    assert case.worker.factor == 5.0
    assert case.worker.slowed is not None
    assert case.worker.slowed.due_ms == now_ms + 2 * EVERY_MS


def test_slow_runs_while_it_is_avoided_put_the_next_step_off():
    case = Case()
    for now_ms in range(1_000, 60_000, 1_000):
        case.judge(5.0, now_ms)
        case.forgiving.tend(now_ms)
    assert case.worker.factor == 5.0
    assert case.worker.slowed is not None
    assert case.worker.slowed.every_ms == EVERY_MS


def test_interval_is_bounded():
    case = Case()
    for _ in range(12):
        while case.worker.factor > 1.5:
            now_ms = case.tend()
        case.judge(5.0, now_ms)
    assert case.worker.slowed is not None
    assert case.worker.slowed.every_ms == EVERY_MS_MAX


def test_slower_still_keeps_the_pace_it_may_come_back_to():
    case = Case()
    case.slow(1_000)
    assert case.worker.slowed is not None
    assert case.worker.slowed.former == 1.0


def test_worker_that_left_is_skipped():
    case = Case()
    case.roster.leave(case.worker)
    assert case.forgiving.due_ms() is None
    case.forgiving.tend(EVERY_MS)
    assert case.forgiving.due_ms() is None


def test_restored_workers_are_watched():
    case = Case()
    other = Forgiving(case.roster)
    other.restore(case.roster.ring)
    assert other.due_ms() == EVERY_MS
