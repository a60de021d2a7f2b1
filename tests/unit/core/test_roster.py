"""Records, ring and table agree; the factor follows a worker's speed, and no single run bends it."""

from __future__ import annotations

import pytest

from nexus_sched.core.records import TaskRecord
from nexus_sched.core.roster import FACTOR_MAX, FACTOR_MIN, Roster
from nexus_sched.model.settings import PREDICTIVE, ROUND_ROBIN, SHADOW, EngineSettings
from nexus_sched.testing.builders import joined, task

SETTINGS = EngineSettings(prefetch=2, early_inbox_max=100)


def member(roster: Roster, name: str = "w1", *, slots: int = 3, mode: str = PREDICTIVE):
    return roster.join(joined(name, slots=slots), SETTINGS, mode, 1_000)


def placed(name: str, worker: str = "w1", booked_ms: float = 10.0) -> TaskRecord:
    record = TaskRecord(task(name), f"i:{worker}", "1-0")
    record.booked_ms = booked_ms
    return record


@pytest.mark.parametrize(("mode", "credit"), [(PREDICTIVE, 5), (SHADOW, 103), (ROUND_ROBIN, 103)])
def test_credit_is_slots_and_what_the_mode_grants(mode: str, credit: int):
    roster = Roster()
    worker = member(roster, mode=mode)
    assert worker.credit == roster.table.credit(worker.row) == credit
    assert roster.table.slots(worker.row) == 3


def test_booked_task_counts_in_record_and_table_until_it_is_settled():
    roster = Roster()
    worker = member(roster)
    first, second = placed("a", booked_ms=10.0), placed("b", booked_ms=5.0)
    roster.book(worker, first)
    roster.book(worker, second)
    assert (worker.in_flight, roster.table.in_flight(worker.row), roster.table.booked_ms(worker.row)) == (2, 2, 15.0)
    assert list(worker.placed) == ["a", "b"]
    roster.settle(first)
    roster.settle(first)  # once is enough
    assert (worker.in_flight, roster.table.in_flight(worker.row), roster.table.booked_ms(worker.row)) == (1, 1, 5.0)


def test_settling_for_a_worker_that_is_gone_changes_nothing():
    roster = Roster()
    worker = member(roster)
    record = placed("a")
    roster.book(worker, record)
    roster.leave(worker)
    roster.settle(record)
    successor = member(roster)
    roster.settle(record)
    assert (successor.in_flight, roster.table.in_flight(successor.row)) == (0, 0)


def test_ring_keeps_the_order_of_joining():
    roster = Roster()
    workers = [member(roster, f"w{number}") for number in range(4)]
    roster.leave(workers[1])
    member(roster, "w9")
    assert [worker.name for worker in roster.ring] == ["w0", "w2", "w3", "w9"]
    assert {row: worker.name for row, worker in roster.by_row.items()} == {
        worker.row: worker.name for worker in roster.ring
    }


def test_factor_follows_a_slow_worker():
    roster = Roster()
    worker = member(roster)
    for _ in range(200):
        roster.learn_factor(worker, run_ms=300.0, class_ms=100.0)
    assert worker.factor == pytest.approx(3.0, rel=0.02)
    assert roster.table.column("factor")[worker.row] == pytest.approx(worker.factor, rel=1e-6)


def test_one_wild_run_moves_the_factor_by_a_bounded_step():
    roster = Roster()
    worker = member(roster)
    roster.learn_factor(worker, run_ms=1e9, class_ms=1.0)
    assert worker.factor == pytest.approx(1.0 + 0.2 * 3.0)
    fast = member(roster, "w2")
    roster.learn_factor(fast, run_ms=1e-9, class_ms=1e6)
    assert fast.factor == pytest.approx(1.0 - 0.2 * 0.75)


def test_factor_stays_within_its_bounds():
    roster = Roster()
    slow, fast = member(roster, "slow"), member(roster, "fast")
    for _ in range(2_000):
        roster.learn_factor(slow, run_ms=1e9, class_ms=1.0)
        roster.learn_factor(fast, run_ms=1e-6, class_ms=1e6)
    assert (slow.factor, fast.factor) == (FACTOR_MAX, FACTOR_MIN)


def test_small_differences_are_ignored_by_the_choice_and_remembered_by_the_record():
    roster = Roster()
    worker = member(roster)
    for _ in range(300):
        roster.learn_factor(worker, run_ms=108.0, class_ms=100.0)
    assert worker.factor == pytest.approx(1.08, rel=0.01)
    assert roster.table.column("factor")[worker.row] == 1.0


@pytest.mark.parametrize(("run_ms", "class_ms"), [(0.0, 100.0), (100.0, 0.0), (100.0, -1.0), (-5.0, 100.0)])
def test_runs_without_a_ratio_teach_nothing(run_ms: float, class_ms: float):
    roster = Roster()
    worker = member(roster)
    roster.learn_factor(worker, run_ms, class_ms)
    assert (worker.factor, worker.samples) == (1.0, 0)
