"""The one order over all waiting tasks: what goes first, what cannot be overtaken for ever, what removal leaves."""

from __future__ import annotations

from copy import copy
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from nexus_sched.core.backlog.backlog import Backlog
from nexus_sched.core.backlog.lane import STALE_MIN
from nexus_sched.core.backlog.order import order_key
from nexus_sched.core.records import TaskRecord
from nexus_sched.model.settings import EngineSettings
from nexus_sched.testing.builders import prediction, task

CREDIT_MS = 10_000.0
SETTINGS = EngineSettings(priority_credit_ms=CREDIT_MS)


def record(task_id: str, *, at_ms: int = 0, priority: int = 5, mean_ms: float = -1.0) -> TaskRecord:
    made = TaskRecord(task(task_id, arrived_at_ms=at_ms, priority=priority), f"q:{priority}", f"{at_ms}-0")
    made.mean_ms = mean_ms
    return made


def push(backlog: Backlog, *records: TaskRecord, weight: float = 1.0, settings: EngineSettings = SETTINGS) -> None:
    for each in records:
        told = prediction(each.mean_ms) if each.mean_ms > 0.0 else None
        backlog.push(each, order_key(each.task, told, weight, settings))


def filled(*records: TaskRecord, weight: float = 1.0, settings: EngineSettings = SETTINGS) -> Backlog:
    backlog = Backlog()
    backlog.configure(settings, ())
    push(backlog, *records, weight=weight, settings=settings)
    return backlog


def drained(backlog: Backlog, now_ms: int = 0) -> list[str]:
    names = []
    while (each := backlog.first(now_ms)) is not None:
        backlog.take(now_ms)
        names.append(each.task.id)
    return names


def test_empty_backlog_has_no_first():
    assert Backlog().first(0) is None


def test_equals_go_in_order_of_entry():
    assert drained(filled(record("a"), record("b"), record("c"))) == ["a", "b", "c"]


def test_earlier_arrival_goes_first():
    assert drained(filled(record("late", at_ms=10), record("early", at_ms=3))) == ["early", "late"]


def test_shorter_prediction_goes_first_by_as_much_as_it_is_shorter():
    backlog = filled(record("long", mean_ms=100.0), record("short", at_ms=40, mean_ms=50.0), record("none", at_ms=95))
    assert drained(backlog) == ["short", "none", "long"]


def test_order_weight_of_zero_is_first_come_first_served():
    backlog = filled(record("long", mean_ms=9e9), record("short", at_ms=1, mean_ms=1.0), weight=0.0)
    assert drained(backlog) == ["long", "short"]


def test_priority_step_counts_as_arriving_earlier_by_the_credit():
    backlog = filled(
        record("normal", at_ms=0),
        record("urgent-in-time", at_ms=9_999, priority=6),
        record("urgent-too-late", at_ms=10_001, priority=6),
        record("idle", at_ms=0, priority=4),
    )
    assert drained(backlog) == ["urgent-in-time", "normal", "urgent-too-late", "idle"]


@given(st.integers(0, 9), st.floats(0.0, 60_000.0), st.integers(0, 9), st.floats(0.0, 60_000.0))
def test_no_task_is_overtaken_by_what_arrives_after_the_ageing_bound(own: int, mine: float, other: int, its: float):
    bound_ms = mine + CREDIT_MS * max(0, other - own)
    behind = record("behind", at_ms=int(bound_ms) + 1, priority=other, mean_ms=its)
    assert drained(filled(behind, record("mine", priority=own, mean_ms=mine)))[0] == "mine"


def test_removed_task_is_never_popped_and_may_enter_again():
    first, second = record("a"), record("b")
    backlog = filled(first, second)
    backlog.remove(first)
    assert len(backlog) == 1
    push(backlog, first)
    assert drained(backlog) == ["b", "a"]


def test_predicted_work_is_the_sum_over_what_waits():
    first, second = record("a", mean_ms=30.0), record("b", mean_ms=12.0)
    backlog = filled(first, second, record("c"))
    assert backlog.predicted_ms == 42.0
    backlog.remove(second)
    assert backlog.predicted_ms == 30.0
    drained(backlog)
    assert backlog.predicted_ms == 0.0


def test_removed_tasks_do_not_pile_up():
    backlog = filled(record("stays"))
    for number in range(10_000):
        gone = record(f"t{number}", at_ms=1)
        push(backlog, gone)
        backlog.remove(gone)
    (lane,) = backlog._lanes.values()
    assert len(lane.heap) <= STALE_MIN + 4
    assert drained(backlog) == ["stays"]


def test_restored_backlog_pops_in_the_same_order():
    random = Random(5)
    records = {
        f"t{number}": record(f"t{number}", at_ms=random.randrange(50), mean_ms=random.uniform(-1, 50))
        for number in range(300)
    }
    backlog = filled(*records.values())
    for each in random.sample(list(records.values()), 100):
        backlog.remove(each)
        if random.random() < 0.3:
            push(backlog, each)
    state = backlog.snapshot()
    other = Backlog()
    for _ in other.restore(state, {each.task.id: copy(each) for each in records.values()}):
        pass
    assert other.snapshot() == state
    assert drained(other) == drained(backlog)
