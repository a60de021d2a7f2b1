"""Second runs of what takes far too long: for idempotent tasks only, on a free slot, and the first completion wins."""

from __future__ import annotations

from nexus_sched.core import snapshot
from nexus_sched.model.effects import CancelRunning, DeadLetter, Discard, Dispatch, Retract
from nexus_sched.model.events import CancelRequested, TaskVanished, WorkerLeft, WorkerReported
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.settings import EngineSettings, Reaction
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Terms
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
from nexus_sched.testing.checks import bookings_differ

RULES = Reaction(speculate=True, speculate_after=2.0, copies_share_max=0.5, move=False)


def idempotent(name: str = "t1") -> Task:
    plain = task(name)
    return Task(*(getattr(plain, field) for field in plain.__struct_fields__[:-1]), asks=Terms(idempotent=True))


def stage(rules: Reaction = RULES, workers: int = 2) -> Bench:
    """Every task is predicted to take 100 ms."""
    told = ToldPredictor(lambda _: prediction(100.0))
    bench = Bench(EngineSettings(predictor="told", reaction=rules, prefetch=0), told)
    bench.turn(*(joined(f"w{index + 1}") for index in range(workers)))
    return bench


def copied(bench: Bench) -> Bench:
    """`t1` runs on w1, and a copy of it on w2."""
    assert bench.dispatched(submitted(idempotent())) == [("t1", "w1")]
    assert bench.dispatched(after_ms=201) == [("t1", "w2")]
    return bench


def stops(effects) -> list[tuple[str, str, int]]:
    return [(each.task_id, each.worker, each.attempt) for each in effects if isinstance(each, CancelRunning)]


def test_copy_is_made_once_the_task_has_taken_far_too_long():
    bench = stage()
    bench.turn(submitted(idempotent()))
    assert bench.engine.next_due_ms is not None
    assert bench.engine.next_due_ms <= 200
    assert bench.dispatched(after_ms=199) == []
    effects = bench.turn(after_ms=1)
    dispatch = next(each for each in effects if isinstance(each, Dispatch))
    assert (dispatch.decision.worker, dispatch.decision.attempt, dispatch.stream) == ("w2", 2, "")
    assert bench.engine.counters["copies"] == 1
    assert bench.dispatched(after_ms=5_000) == []  # one is enough
    assert bookings_differ(bench.engine) == []


def test_no_copy_of_what_is_not_idempotent_or_if_it_is_switched_off():
    for bench, each in ((stage(), task("t1")), (stage(Reaction(move=False)), idempotent())):
        bench.turn(submitted(each))
        assert bench.dispatched(after_ms=10_000) == []


def test_no_copy_without_a_free_slot_elsewhere_until_there_is_one():
    bench = stage()
    bench.turn(submitted(idempotent()), submitted(task("other")))
    assert bench.dispatched(after_ms=300) == []
    bench.turn(finished("other", "w2"), after_ms=100)
    assert bench.dispatched(after_ms=1_000) == [("t1", "w2")]


def test_copies_take_a_share_of_the_slots_only():
    bench = stage(Reaction(speculate=True, speculate_after=2.0, copies_share_max=0.25, move=False), workers=4)
    bench.turn(submitted(idempotent("a")), submitted(idempotent("b")))
    assert len(bench.dispatched(after_ms=300)) == 1


def test_original_that_finishes_first_stops_its_copy():
    bench = copied(stage())
    assert stops(bench.turn(finished("t1", "w1"))) == [("t1", "w2", 2)]
    assert (bench.engine.tasks, bench.engine.copies) == ({}, {})
    assert [worker.in_flight for worker in bench.engine.roster.ring] == [0, 0]


def test_copy_that_finishes_first_stops_the_original_and_teaches():
    bench = copied(stage())
    effects = bench.turn(finished("t1", "w2", attempt=2, run_ms=90.0))
    assert stops(effects) == [("t1", "w1", 1)]
    assert (bench.engine.tasks, bench.engine.copies) == ({}, {})
    assert [worker.in_flight for worker in bench.engine.roster.ring] == [0, 0]
    assert bench.engine.counters["late"] == 0
    assert bench.engine.counters["predictions_within"] == 1


def test_copy_that_is_lost_is_forgotten_and_later_attempts_are_higher():
    bench = copied(stage())
    bench.turn(reclaimed("t1", "w2", attempt=2, reason=Reason.WORKER_LEFT))
    assert bench.engine.copies == {}
    assert bench.engine.tasks["t1"].place == "i:w1"
    effects = bench.turn(reclaimed("t1", "w1", attempt=1, reason=Reason.WORKER_LEFT))
    assert Discard("q:r", "2-t1") in effects  # the copy's pointer is not needed any more
    assert [each.decision.attempt for each in effects if isinstance(each, Dispatch)] == [3]


def test_copy_that_is_lost_leaves_a_pointer_for_an_original_that_never_began():
    bench = copied(stage())
    bench.turn(reclaimed("t1", "w2", attempt=2, reason=Reason.WORKER_LOST))
    effects = bench.turn(TaskVanished("t1", 1, "w1"))
    dispatch = next(each for each in effects if isinstance(each, Dispatch))
    assert (dispatch.stream, dispatch.entry, dispatch.decision.attempt) == ("q:r", "2-t1", 3)


def test_run_and_copy_that_are_both_lost_are_one_of_the_starts_that_a_task_may_have():
    bench = stage()
    plain = idempotent()
    once = Task(*(1 if field == "max_attempts" else getattr(plain, field) for field in plain.__struct_fields__))
    bench.turn(submitted(once))
    bench.turn(after_ms=201)
    bench.turn(reclaimed("t1", "w2", attempt=2, reason=Reason.WORKER_RESTARTED))
    dead = next(each for each in bench.turn(TaskVanished("t1", 1, "w1")) if isinstance(each, DeadLetter))
    assert (dead.reason, dead.stream, dead.entry) == (Reason.ATTEMPTS_EXHAUSTED, "q:r", "2-t1")
    assert bench.engine.tasks == {}
    assert bookings_differ(bench.engine) == []


def test_original_is_not_taken_back_after_its_copy_for_nobody_knows_whether_it_began():
    bench = copied(stage())
    bench.turn(reclaimed("t1", "w2", attempt=2, reason=Reason.WORKER_LOST))
    effects = bench.turn(WorkerReported("w1", 1, draining=True, running=1, queued=0))
    assert not [each for each in effects if isinstance(each, Retract)]
    effects = bench.turn(WorkerLeft("w1", 1, True))
    assert [(each.worker, each.attempt) for each in effects if isinstance(each, Retract)] == [("w1", 1)]


def test_original_that_is_lost_after_its_copy_counts_as_begun():
    bench = copied(stage())
    bench.turn(reclaimed("t1", "w2", attempt=2, reason=Reason.WORKER_LEFT))
    bench.turn(reclaimed("t1", "w1", attempt=1, reason=Reason.WORKER_LEFT, started=False))
    assert bench.engine.tasks["t1"].past.starts == 1


def test_copy_taken_back_before_anybody_began_lets_the_task_wait_again():
    bench = copied(stage())
    effects = bench.turn(reclaimed("t1", "w2", attempt=2, reason=Reason.RETRACTED, started=False))
    dispatch = next(each for each in effects if isinstance(each, Dispatch))
    assert Discard("i:w1", "2-0") in effects
    assert (dispatch.stream, dispatch.entry, dispatch.decision.attempt) == ("q:r", "2-t1", 3)


def test_finished_original_clears_the_pointer_that_a_lost_copy_left():
    bench = copied(stage())
    bench.turn(reclaimed("t1", "w2", attempt=2, reason=Reason.WORKER_LOST))
    assert Discard("q:r", "2-t1") in bench.turn(finished("t1", "w1"))


def test_original_that_is_lost_leaves_the_copy_in_its_place():
    bench = copied(stage())
    effects = bench.turn(reclaimed("t1", "w1", attempt=1), WorkerLeft("w1", 1, True))
    assert Discard("q:r", "1-t1") in effects
    record = bench.engine.tasks["t1"]
    assert (record.place, record.attempt, bench.engine.copies) == ("i:w2", 2, {})
    assert bookings_differ(bench.engine) == []
    bench.turn(finished("t1", "w2", attempt=2))
    assert bench.engine.tasks == {}
    assert bench.engine.counters["late"] == 0


def test_original_that_vanishes_leaves_the_copy_in_its_place():
    bench = copied(stage())
    bench.turn(TaskVanished("t1", 1, "w1"))
    assert bench.engine.tasks["t1"].place == "i:w2"
    assert bench.engine.roster.by_name["w1"].in_flight == 0


def test_cancelling_stops_both():
    bench = copied(stage())
    assert sorted(stops(bench.turn(CancelRequested("t1")))) == [("t1", "w1", 1), ("t1", "w2", 2)]
    bench.turn(finished("t1", "w2", attempt=2, outcome=Outcome.CANCELLED))
    assert (bench.engine.tasks, bench.engine.copies) == ({}, {})
    assert [worker.in_flight for worker in bench.engine.roster.ring] == [0, 0]


def test_restored_engine_goes_on_alike():
    bench = copied(stage())
    blob = snapshot.take(bench.engine)
    other = stage()
    other.engine = snapshot.restore(blob, {**PREDICTORS, "told": lambda _: bench.engine.forecasts.active})
    other.now_ms = bench.now_ms
    assert snapshot.take(other.engine) == blob
    for events in ((finished("t1", "w2", attempt=2),), (submitted(idempotent("t2")),), ()):
        assert other.turn(*events, after_ms=300) == bench.turn(*events, after_ms=300)
