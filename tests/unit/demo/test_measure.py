"""Figures of a half from trails that are known: nothing is taken from the scheduler's own words."""

from __future__ import annotations

import pytest

from nexus_sched.demo.fleet import WorkerProfile
from nexus_sched.demo.ledger import Ledger, Sighting
from nexus_sched.demo.measure import measure_half
from nexus_sched.demo.options import DemoOptions
from nexus_sched.demo.quantiles import Tails
from nexus_sched.demo.report import HalfReport
from nexus_sched.demo.workload import PlannedTask
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.runtime.ports import TaskRecord
from nexus_sched.units import NS_PER_MS

OPTIONS = DemoOptions(workers=2, slots=1, rate=4.0, duration_s=1.0)
FLEET = [WorkerProfile("w-1", "all", {"t": 1.0}), WorkerProfile("w-2", "all", {"t": 1.0})]
ORIGIN_MS = 5_000
FINISHED = TaskRecord("F", "succeeded", 1, "w-1")


def ledger_of(count: int) -> Ledger:
    return Ledger({f"t-{number}": PlannedTask(number, "t", 5, 0.0, 1.0) for number in range(count)})


def ran(ledger: Ledger, task_id: str, worker: str, submit_ms: int, begin_ms: int, end_ms: int) -> None:
    ledger.note_submitted([task_id], (ORIGIN_MS + submit_ms) * NS_PER_MS)
    ledger.note_sighting(Sighting(task_id, worker, True, (ORIGIN_MS + begin_ms) * NS_PER_MS))
    ledger.note_sighting(Sighting(task_id, worker, False, (ORIGIN_MS + end_ms) * NS_PER_MS))
    ledger.note_announced(task_id)
    ledger.note_record(task_id, FINISHED)


def measured(ledger: Ledger) -> HalfReport:
    return measure_half("predictive", ledger, FLEET, OPTIONS, Tails(1.0, 2.0))


def test_half_where_all_went_well() -> None:
    ledger = ledger_of(3)
    ran(ledger, "t-0", "w-1", 0, 10, 510)
    ran(ledger, "t-1", "w-2", 0, 30, 280)
    ran(ledger, "t-2", "w-2", 100, 300, 1_500)  # only 700 ms of it while tasks arrived
    report = measured(ledger)
    assert (report.submitted, report.finished, report.lost, report.duplicated) == (3, 3, 0, 0)
    assert ledger.complete
    assert report.wait_ms.p50 == 30.0
    assert report.response_ms.p50 == 510.0
    assert report.utilisation.lowest == pytest.approx(0.5)
    assert report.utilisation.highest == pytest.approx(0.95)
    assert report.utilisation.spread == pytest.approx(0.45)
    assert report.makespan_s == pytest.approx(1.5)
    assert report.decision_us == Tails(1.0, 2.0)
    # t-2 came while the only slot of w-2 was taken, so its wait is no overhead
    assert (report.dispatch_overhead_ms.tasks, report.dispatch_overhead_ms.p99) == (2, pytest.approx(29.8))


def test_half_task_without_accepted_result_is_lost() -> None:
    ledger = ledger_of(2)
    ran(ledger, "t-0", "w-1", 0, 10, 20)
    ran(ledger, "t-1", "w-1", 0, 10, 20)
    ledger.note_record("t-1", TaskRecord("R", "", 1, "w-1"))
    report = measured(ledger)
    assert (report.finished, report.lost) == (1, 1)


def test_half_task_that_ended_badly_or_is_unknown_is_lost() -> None:
    ledger = ledger_of(2)
    for task_id, record in (("t-0", TaskRecord("F", "failed", 1, "w-1")), ("t-1", None)):
        ran(ledger, task_id, "w-1", 0, 10, 20)
        ledger.note_record(task_id, record)
    assert measured(ledger).lost == 2


def test_half_accepted_result_without_witnessed_run_is_lost() -> None:
    ledger = ledger_of(1)
    ledger.note_submitted(["t-0"], ORIGIN_MS * NS_PER_MS)
    ledger.note_record("t-0", FINISHED)
    report = measured(ledger)
    assert (report.finished, report.lost) == (1, 1)
    assert report.wait_ms.p50 is None
    assert ledger.waiting == 1


def test_half_second_run_of_a_task_is_a_duplicate_and_does_not_change_its_times() -> None:
    ledger = ledger_of(1)
    ran(ledger, "t-0", "w-1", 0, 10, 20)
    ledger.note_sighting(Sighting("t-0", "w-2", True, (ORIGIN_MS + 15) * NS_PER_MS))
    ledger.note_sighting(Sighting("t-0", "w-2", False, (ORIGIN_MS + 90) * NS_PER_MS))
    report = measured(ledger)
    assert (report.duplicated, report.lost) == (1, 0)
    assert report.response_ms.p50 == 20.0


def test_half_end_announced_twice_is_a_duplicate() -> None:
    ledger = ledger_of(1)
    ran(ledger, "t-0", "w-1", 0, 10, 20)
    ledger.note_announced("t-0")
    assert measured(ledger).duplicated == 1


def test_half_predictions_are_those_of_the_first_placement() -> None:
    ledger = ledger_of(3)
    for number, predicted_ms in enumerate((100.0, 126.0, None)):
        ran(ledger, f"t-{number}", "w-1", 0, 10, 110)
        for attempt, p50_ms in ((1, predicted_ms), (2, 100.0)):
            policy = "round-robin" if p50_ms is None else "predictive"
            ledger.note_decision(SchedulingDecision(f"t-{number}", "t", "w-1", attempt, policy, p50_ms=p50_ms))
    report = measured(ledger)
    assert (report.predicted, report.predictions_within_25) == (2, 0.5)
    assert report.policies == {"predictive": 5, "round-robin": 1}


def test_half_facts_of_unknown_tasks_are_ignored() -> None:
    ledger = ledger_of(1)
    ledger.note_sighting(Sighting("other", "w-1", True, 1))
    ledger.note_announced("other")
    ledger.note_decision(SchedulingDecision("other", "t", "w-1", 1, "predictive"))
    report = measured(ledger)
    assert (report.submitted, report.lost, report.policies, report.utilisation.mean) == (0, 0, {}, 0.0)
