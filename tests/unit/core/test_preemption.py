"""Runs that give way to more urgent tasks: only if it pays, the least urgent and newest first, and never for good."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.core import snapshot
from nexus_sched.model.effects import CancelRunning, DeadLetter, Discard, Dispatch
from nexus_sched.model.events import CancelRequested
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import EngineSettings, Preemption
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    finished,
    joined,
    prediction,
    reclaimed,
    submitted,
    task,
)

RULES = Preemption(enabled=True, priority_gap=3, restart_ms=10.0, pause_ms=1_000, times_max=2)
LONG_MS = 10_000.0


def stage(rules: Preemption = RULES, workers: int = 1, slots: int = 1) -> Bench:
    """Workers that hold just their slots, and tasks that take as long as they hint at, else ten seconds."""
    told = ToldPredictor(lambda each: prediction(each.hint_ms or LONG_MS))
    bench = Bench(EngineSettings(predictor="told", preemption=rules, prefetch=0, round_trip_ms=2.0), told)
    bench.turn(*(joined(f"w{index + 1}", slots=slots) for index in range(workers)))
    return bench


def stops(effects) -> list[tuple[str, str, bool]]:
    return [(each.task_id, each.worker, each.preempt) for each in effects if isinstance(each, CancelRunning)]


def urgent(name: str = "urgent", priority: int = 9, hint_ms: float = 100.0):
    return submitted(task(name, priority=priority, hint_ms=hint_ms))


def test_urgent_task_takes_the_place_of_a_run_that_has_just_begun():
    bench = stage()
    assert bench.dispatched(submitted(task("long", priority=2))) == [("long", "w1")]
    assert stops(bench.turn(urgent(), after_ms=100)) == [("long", "w1", True)]
    effects = bench.turn(reclaimed("long", reason=Reason.PREEMPTED), after_ms=5)
    assert [each.decision.task_id for each in effects if isinstance(each, Dispatch)] == ["urgent"]
    record = bench.engine.tasks["long"]
    past = record.past
    assert (past.starts, past.deaths, past.preemptions, record.waiting) == (0, 0, 1, True)
    assert bench.engine.counters["preempted"] == 1
    assert bench.dispatched(finished("urgent"), after_ms=100) == [("long", "w1")]
    assert bench.engine.tasks["long"].attempt == 2


def test_message_to_give_way_is_taken_back_when_the_run_is_to_end():
    bench = stage()
    bench.turn(submitted(task("long", hint_ms=10_000.0)))
    told = next(each for each in bench.turn(urgent(), after_ms=100) if isinstance(each, CancelRunning))
    effects = bench.turn(CancelRequested("long"))
    assert Discard("i:w1", told.inbox_entry) in effects
    assert stops(effects) == [("long", "w1", False)]


def test_nobody_gives_way_unless_it_is_switched_on():
    bench = stage(Preemption())
    bench.turn(submitted(task("long", priority=2)))
    assert stops(bench.turn(urgent(), after_ms=100)) == []


@pytest.mark.parametrize(
    ("priority", "elapsed_ms", "why"),
    [
        (4, 100, "the gap is too small"),
        (9, 6_000, "more work would be lost than waiting saved"),
        (9, 9_996, "it is about to end"),
    ],
)
def test_run_goes_on_if_stopping_it_does_not_pay(priority: int, elapsed_ms: int, why: str):
    bench = stage()
    bench.turn(submitted(task("long", priority=2)))
    assert stops(bench.turn(urgent(priority=priority), after_ms=elapsed_ms)) == [], why


def test_run_goes_on_if_another_slot_is_about_to_be_free():
    bench = stage(workers=2)
    bench.turn(submitted(task("short", priority=8, hint_ms=50.0)), submitted(task("long", priority=2)))
    assert stops(bench.turn(urgent(), after_ms=30)) == []


def test_least_urgent_gives_way_and_among_equals_the_newest():
    bench = stage(workers=3)
    bench.turn(submitted(task("older", priority=1)))
    bench.turn(submitted(task("newer", priority=1)), after_ms=200)
    bench.turn(submitted(task("higher", priority=3)), after_ms=200)
    assert [each[0] for each in stops(bench.turn(urgent(), after_ms=100))] == ["newer"]
    assert [each[0] for each in stops(bench.turn(urgent("second"), after_ms=1))] == ["older"]
    assert stops(bench.turn(after_ms=1)) == []  # as many give way as wait, no more


def test_one_urgent_task_asks_one_run_only():
    bench = stage(workers=2)
    bench.turn(submitted(task("a", priority=1)), submitted(task("b", priority=1)))
    assert len(stops(bench.turn(urgent(), after_ms=100))) == 1
    assert stops(bench.turn(after_ms=100)) == []
    assert stops(bench.turn(after_ms=100)) == []


def test_task_is_spared_for_a_while_and_after_so_many_times_for_good():
    bench = stage()
    bench.turn(submitted(task("long", priority=1)))
    for attempt in (1, 2):
        assert len(stops(bench.turn(urgent(f"u{attempt}"), after_ms=1_100))) == 1, attempt
        bench.turn(reclaimed("long", attempt=attempt, reason=Reason.PREEMPTED), after_ms=5)
        bench.turn(finished(f"u{attempt}"), after_ms=100)
        soon = bench.turn(urgent(f"soon{attempt}", hint_ms=1.0), after_ms=5)
        assert stops(soon) == []
        bench.turn(*cancelled(f"soon{attempt}"))
    assert stops(bench.turn(urgent("u3"), after_ms=1_100)) == []


def cancelled(task_id: str):

    return [CancelRequested(task_id)]


def test_run_that_ends_before_it_is_stopped_ends_as_usual():
    bench = stage()
    bench.turn(submitted(task("long", priority=1)))
    bench.turn(urgent(), after_ms=100)
    assert bench.dispatched(finished("long"), after_ms=1) == [("urgent", "w1")]
    assert bench.engine.asked == [0] * 10


def test_cancelled_task_that_gives_way_does_not_come_again():
    bench = stage()
    bench.turn(submitted(task("long", priority=1)))
    bench.turn(urgent(), after_ms=100)
    bench.turn(*cancelled("long"))
    effects = bench.turn(reclaimed("long", reason=Reason.PREEMPTED), after_ms=5)
    assert "long" not in bench.engine.tasks
    assert not any(isinstance(each, DeadLetter) for each in effects)


def test_rules_that_are_switched_on_later_count_for_what_runs_already():
    bench = stage(Preemption())
    bench.turn(submitted(task("long", priority=1)))
    bench.engine.settings = structs.replace(bench.engine.settings, preemption=RULES)
    assert stops(bench.turn(urgent(), after_ms=100)) == [("long", "w1", True)]


def test_restored_engine_asks_the_same_runs():
    bench = stage(workers=3)
    bench.turn(*(submitted(task(f"t{index}", priority=1)) for index in range(3)))
    bench.turn(urgent("a"), after_ms=50)
    blob = snapshot.take(bench.engine)
    other = stage()
    other.engine = snapshot.restore(blob, {**PREDICTORS, "told": lambda _: bench.engine.forecasts.active})
    other.now_ms = bench.now_ms
    assert other.engine.asked == bench.engine.asked
    assert other.turn(urgent("b"), after_ms=10) == bench.turn(urgent("b"), after_ms=10)
