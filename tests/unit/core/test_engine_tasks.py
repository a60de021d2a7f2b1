"""Every edge of the graph in the engine's docstring, and every fact that does not fit."""

from __future__ import annotations

import pytest

from nexus_sched.model.effects import CancelQueued, CancelRunning, DeadLetter, Discard, Dispatch, Retract
from nexus_sched.model.events import CancelRequested, ModeChanged, TaskRefused, TaskVanished
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.settings import PREDICTIVE, ROUND_ROBIN, EngineSettings
from nexus_sched.model.task import Retry
from nexus_sched.testing.builders import Bench, draining, finished, joined, left, placements, reclaimed, submitted, task
from nexus_sched.testing.checks import bookings_differ


@pytest.fixture
def bench():
    bench = Bench(EngineSettings(predictor="ema", prefetch=0))
    yield bench
    assert bookings_differ(bench.engine) == []


def counted(bench: Bench, **expected: int) -> bool:
    return {name: bench.engine.counters[name] for name in expected} == expected


# -- waiting and placing


def test_task_without_worker_waits(bench: Bench):
    assert bench.turn(submitted("t1")) == []
    assert bench.engine.tasks["t1"].waiting
    assert bench.engine.backlog.peek() is bench.engine.tasks["t1"]


def test_waiting_task_goes_to_the_worker_that_joins(bench: Bench):
    bench.turn(submitted("t1"))
    (dispatch,) = bench.turn(joined("w1"))
    assert isinstance(dispatch, Dispatch)
    assert (dispatch.stream, dispatch.entry) == ("q:5", "0-t1")
    assert (dispatch.decision.worker, dispatch.decision.attempt, dispatch.decision.policy) == ("w1", 1, ROUND_ROBIN)
    assert dispatch.decision.predicted_ms is None


def test_decision_tells_how_long_the_task_had_waited(bench: Bench):
    bench.turn(submitted(task("t1", arrived_at_ms=0)))
    (dispatch,) = bench.turn(joined("w1"), after_ms=750)
    assert isinstance(dispatch, Dispatch)
    assert dispatch.decision.wait_ms == 750.0


def test_inbox_entries_count_dispatches_then_stops_of_the_turn():
    bench = Bench(EngineSettings(predictor="ema", prefetch=0))
    bench.turn(joined("w1", slots=1), submitted("t1"))
    effects = bench.turn(
        joined("w2", slots=2), submitted("t2"), submitted("t3"), CancelRequested("t1"), CancelRequested("t2")
    )
    # t2 was still waiting when it was cancelled: it ends at once, and only t3 is dispatched
    seq = bench.engine.seq
    assert placements(effects) == [("t3", "w2")]
    assert bench.engine.tasks["t3"].entry == f"{seq}-0"
    assert [each for each in effects if isinstance(each, CancelRunning)] == [CancelRunning("t1", 1, "w1", f"{seq}-1")]


def test_turn_places_at_most_256_tasks_and_goes_on_by_itself(bench: Bench):
    bench.turn(*(submitted(f"t{index}") for index in range(600)))
    first = bench.turn(*(joined(f"w{index}") for index in range(600)))
    assert (len(first), bench.engine.ready) == (256, True)
    second = bench.turn()
    assert (len(second), bench.engine.ready) == (256, True)
    third = bench.turn()
    assert (len(third), bench.engine.ready) == (88, False)
    entries = [record.entry for record in bench.engine.tasks.values()]
    assert entries[:256] == [f"2-{index}" for index in range(256)]
    assert entries[256:512] == [f"3-{index}" for index in range(256)]


# -- repeats


def test_submission_seen_twice_under_another_entry_is_discarded(bench: Bench):
    bench.turn(submitted("t1"))
    assert bench.turn(submitted("t1", "9-9")) == [Discard("q:5", "9-9")]
    assert counted(bench, submitted=1, repeated=1)


def test_submission_seen_twice_under_the_same_entry_keeps_its_pointer(bench: Bench):
    bench.turn(submitted("t1"))
    assert bench.turn(submitted("t1")) == []
    assert counted(bench, submitted=1, repeated=1)


def test_submission_of_a_placed_task_is_discarded(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    assert bench.turn(submitted("t1", "9-9")) == [Discard("q:5", "9-9")]


def test_end_seen_twice_changes_nothing(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    bench.turn(finished("t1"))
    assert bench.turn(finished("t1")) == []
    assert counted(bench, finished=1, repeated=1)


def test_reclaimed_pointer_seen_twice_is_discarded(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    bench.turn(left(), reclaimed("t1", entry="5-0"))
    assert bench.turn(reclaimed("t1", entry="6-0")) == [Discard("q:r", "6-0")]
    assert bench.turn(reclaimed("t1", entry="5-0")) == []
    assert counted(bench, reclaimed=1, repeated=2)


def test_reclaimed_pointer_of_a_former_attempt_is_discarded(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    bench.turn(reclaimed("t1", reason=Reason.RETRACTED, started=False))
    assert bench.engine.tasks["t1"].attempt == 2
    assert bench.turn(reclaimed("t1", attempt=1, entry="7-0")) == [Discard("q:r", "7-0")]
    assert not bench.engine.tasks["t1"].waiting


# -- ends


@pytest.mark.parametrize(
    ("outcome", "counter"),
    [
        (Outcome.SUCCEEDED, "finished"),
        (Outcome.FAILED, "failed"),
        (Outcome.TIMED_OUT, "failed"),
        (Outcome.REJECTED, "failed"),
        (Outcome.CANCELLED, "cancelled"),
    ],
)
def test_end_frees_the_slot_and_counts(bench: Bench, outcome: Outcome, counter: str):
    bench.turn(joined(), submitted("t1"))
    assert bench.dispatched(finished("t1", outcome=outcome), submitted("t2")) == [("t2", "w1")]
    assert "t1" not in bench.engine.tasks
    assert counted(bench, **{counter: 1})


def test_late_end_of_a_waiting_task_removes_its_pointer(bench: Bench):
    bench.turn(joined("w1"), submitted("t1"))
    bench.turn(left("w1", lost=True), reclaimed("t1", entry="5-0"))
    assert bench.turn(finished("t1", "w1")) == [Discard("q:r", "5-0")]
    assert len(bench.engine.backlog) == 0
    assert counted(bench, finished=1, late=1)


def test_late_end_of_a_task_placed_elsewhere_removes_it_there(bench: Bench):
    bench.turn(joined("w1"), submitted("t1"))
    bench.turn(left("w1", lost=True), reclaimed("t1"), joined("w2"))
    entry = bench.engine.tasks["t1"].entry
    assert bench.turn(finished("t1", "w1", attempt=1)) == [Discard("i:w2", entry)]
    assert bench.engine.roster.by_name["w2"].in_flight == 0
    assert counted(bench, finished=1, late=1)


def test_late_end_trains_the_predictor_but_not_the_score_of_predictions(bench: Bench):
    bench.turn(joined("w1"), submitted("t1"))
    bench.turn(left("w1", lost=True), reclaimed("t1"))
    bench.turn(finished("t1", "w1", run_ms=40.0))
    known = bench.engine.forecasts.active.predict(task("t2"))
    assert known is not None
    assert known.mean_ms == 40.0
    assert counted(bench, predictions=0)


def test_failed_run_trains_nothing(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    bench.turn(finished("t1", outcome=Outcome.FAILED, run_ms=40.0))
    assert bench.engine.forecasts.active.predict(task("t2")) is None


def test_vanished_task_frees_its_slot(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    assert bench.dispatched(TaskVanished("t1", 1, "w1"), submitted("t2")) == [("t2", "w1")]
    assert counted(bench, vanished=1)


@pytest.mark.parametrize(
    "stale", [TaskVanished("t1", 2, "w1"), TaskVanished("t1", 1, "w2"), TaskVanished("t9", 1, "w1")]
)
def test_vanished_pointer_that_does_not_fit_changes_nothing(bench: Bench, stale: TaskVanished):
    bench.turn(joined(), submitted("t1"))
    assert bench.turn(stale) == []
    assert bench.engine.roster.by_name["w1"].in_flight == 1


def test_predictions_within_a_quarter_of_the_run_are_counted(bench: Bench):
    bench.turn(joined(), submitted(task("t1", hint_ms=100.0)))
    bench.turn(finished("t1", run_ms=100.0), submitted("t2"))
    bench.turn(finished("t2", run_ms=120.0), submitted("t3"))
    bench.turn(finished("t3", run_ms=300.0))
    assert counted(bench, predictions=3, predictions_within=2)


# -- taken back


def test_unstarted_task_taken_back_is_placed_again(bench: Bench):
    bench.turn(joined("w1"), submitted("t1"))
    (again,) = bench.turn(left("w1", lost=True), reclaimed("t1", started=False, entry="5-0"), joined("w2"))
    assert isinstance(again, Dispatch)
    assert (again.stream, again.entry, again.decision.attempt) == ("q:r", "5-0", 2)
    record = bench.engine.tasks["t1"]
    assert (record.past.starts, record.past.deaths) == (0, 0)


def test_task_whose_attempts_are_used_up_is_dead(bench: Bench):
    bench.turn(joined(), submitted(task("t1", max_attempts=2)))
    bench.turn(reclaimed("t1", attempt=1, reason=Reason.WORKER_LEFT))
    assert bench.turn(reclaimed("t1", attempt=2, reason=Reason.WORKER_LEFT, entry="8-0")) == [
        DeadLetter("t1", Reason.ATTEMPTS_EXHAUSTED, 2, "w1", "taken back: worker-left", "q:r", "8-0")
    ]
    assert bench.engine.tasks == {}
    assert counted(bench, dead=1, reclaimed=2)


def test_retracted_attempts_use_nothing_up(bench: Bench):
    bench.turn(joined(), submitted(task("t1", max_attempts=1, retry=Retry.NEVER)))
    for attempt in range(1, 6):
        effects = bench.turn(reclaimed("t1", attempt=attempt, reason=Reason.RETRACTED, started=False))
        assert placements(effects) == [("t1", "w1")]


def test_task_that_may_not_run_again_is_dead_once_started(bench: Bench):
    bench.turn(joined(), submitted(task("t1", retry=Retry.NEVER)))
    (dead,) = bench.turn(reclaimed("t1", started=True))
    assert isinstance(dead, DeadLetter)
    assert dead.reason is Reason.NOT_REPEATABLE


@pytest.mark.parametrize("reason", [Reason.WORKER_LOST, Reason.WORKER_RESTARTED])
def test_task_that_lost_two_workers_is_dead(bench: Bench, reason: Reason):
    bench.turn(joined(), submitted(task("t1", max_attempts=100)))
    bench.turn(reclaimed("t1", attempt=1, reason=reason))
    (dead,) = bench.turn(reclaimed("t1", attempt=2, reason=reason))
    assert isinstance(dead, DeadLetter)
    assert dead.reason is Reason.WORKER_KILLER


@pytest.mark.parametrize("reason", [Reason.WORKER_LEFT, Reason.RUN_FAILED])
def test_other_returns_kill_no_worker(bench: Bench, reason: Reason):
    bench.turn(joined(), submitted(task("t1", max_attempts=100)))
    for attempt in range(1, 10):
        effects = bench.turn(reclaimed("t1", attempt=attempt, reason=reason))
        while not placements(effects) and (due_ms := bench.engine.next_due_ms) is not None:
            effects += bench.turn(after_ms=due_ms - bench.now_ms)
        assert placements(effects) == [("t1", "w1")]


def test_reclaimed_pointer_of_an_unknown_task_is_buried_by_the_commit(bench: Bench):
    (dead,) = bench.turn(reclaimed("t9", entry="5-0"))
    assert isinstance(dead, DeadLetter)
    assert (dead.task_id, dead.stream, dead.entry) == ("t9", "q:r", "5-0")


# -- cancelling


def test_cancel_of_a_waiting_task_ends_it(bench: Bench):
    bench.turn(submitted("t1"))
    assert bench.turn(CancelRequested("t1")) == [CancelQueued("t1", "q:5", "0-t1")]
    assert (bench.engine.tasks, len(bench.engine.backlog)) == ({}, 0)
    assert counted(bench, cancelled=1)


def test_cancel_of_a_placed_task_asks_for_it_back_and_to_stop_it(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    assert bench.turn(CancelRequested("t1")) == [
        Retract("t1", 1, "w1", "1-0"),
        CancelRunning("t1", 1, "w1", "2-0"),
    ]
    assert bench.turn(CancelRequested("t1")) == []
    # it had not started: it comes back, and ends with its control message
    assert bench.turn(reclaimed("t1", reason=Reason.RETRACTED, started=False, entry="5-0")) == [
        Discard("i:w1", "2-0"),
        CancelQueued("t1", "q:r", "5-0"),
    ]
    assert counted(bench, cancelled=1)


def test_cancelled_task_that_runs_ends_as_its_worker_says(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    bench.turn(CancelRequested("t1"))
    assert bench.turn(finished("t1", outcome=Outcome.CANCELLED)) == [Discard("i:w1", "2-0")]
    assert counted(bench, cancelled=1, finished=0)


def test_cancel_of_an_unknown_task_changes_nothing(bench: Bench):
    assert bench.turn(CancelRequested("t9")) == []


def test_cancel_and_end_in_one_turn_send_no_stop(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    assert bench.turn(CancelRequested("t1"), finished("t1")) == []


def test_cancel_and_return_in_one_turn_send_no_stop(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    effects = bench.turn(CancelRequested("t1"), reclaimed("t1", entry="5-0"))
    assert effects == [CancelQueued("t1", "q:r", "5-0")]


# -- refused inputs


def test_refused_entry_becomes_a_dead_letter(bench: Bench):
    refused = TaskRefused("q:5", "3-0", "t1", Reason.MALFORMED, "why")
    assert bench.turn(refused) == [DeadLetter("t1", Reason.MALFORMED, 0, "", "why", "q:5", "3-0")]
    assert counted(bench, refused=1, dead=1)


def test_refused_entry_that_bears_the_name_of_a_live_task_does_not_end_it(bench: Bench):
    bench.turn(submitted("t1"))
    (dead,) = bench.turn(TaskRefused("q:5", "3-0", "t1", Reason.MALFORMED, "why"))
    assert isinstance(dead, DeadLetter)
    assert (dead.task_id, dead.stream, dead.entry) == ("", "q:5", "3-0")
    assert bench.dispatched(joined()) == [("t1", "w1")]


@pytest.mark.parametrize("placed", [False, True])
def test_quarantined_pointer_of_a_live_task_ends_it(bench: Bench, placed: bool):
    bench.turn(*([joined()] if placed else []), submitted("t1"))
    record_at = ("i:w1", "1-0") if placed else ("q:5", "0-t1")
    assert bench.turn(TaskRefused("q:r", "3-0", "t1", Reason.ENGINE_ERROR, "why")) == [
        Discard(*record_at),
        DeadLetter("t1", Reason.ENGINE_ERROR, 0, "", "why", "q:r", "3-0"),
    ]
    assert (bench.engine.tasks, len(bench.engine.backlog)) == ({}, 0)


# -- order and modes


def test_shorter_and_more_urgent_tasks_go_first():
    bench = Bench(EngineSettings(predictor="ema", prefetch=0))
    bench.turn(
        submitted(task("long", hint_ms=500.0)),
        submitted(task("short", hint_ms=5.0)),
        submitted(task("urgent", priority=6, hint_ms=500.0)),
    )
    assert bench.dispatched(joined("w1", slots=3)) == [("urgent", "w1"), ("short", "w1"), ("long", "w1")]


def test_round_robin_binds_at_arrival_and_a_switch_takes_the_excess_back():
    bench = Bench(EngineSettings(mode=ROUND_ROBIN, prefetch=1))
    effects = bench.turn(joined("w1"), joined("w2"), *(submitted(f"t{index}") for index in range(8)))
    assert [worker for _, worker in placements(effects)] == ["w1", "w2"] * 4
    back = bench.turn(ModeChanged(PREDICTIVE))
    assert [(each.task_id, each.worker) for each in back if isinstance(each, Retract)] == [
        ("t4", "w1"),
        ("t6", "w1"),
        ("t5", "w2"),
        ("t7", "w2"),
    ]
    assert bench.engine.roster.by_name["w1"].credit == 2
    assert bookings_differ(bench.engine) == []


def test_more_than_256_tasks_are_taken_back_over_several_turns():
    bench = Bench(EngineSettings(mode=ROUND_ROBIN))
    bench.turn(joined("w1"), *(submitted(f"t{index}") for index in range(600)))
    while bench.engine.ready:
        bench.turn()
    taken = [bench.turn(draining("w1"))]
    while bench.engine.ready:
        taken.append(bench.turn())
    assert [len(effects) for effects in taken] == [256, 256, 88]
    assert all(isinstance(each, Retract) for effects in taken for each in effects)
