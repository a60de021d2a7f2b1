"""Breakers of a fleet, through the engine: who gets no work, how many at most, and what operators can do."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.records import WorkerRecord
from nexus_sched.core.slow_start import FLOOR
from nexus_sched.core.worker_breaker import CLOSED, HALF_OPEN, OPEN
from nexus_sched.model.effects import Noticed, Retract
from nexus_sched.model.events import WorkerCordoned, WorkerResumed, WorkerTripped
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.settings import EngineSettings, WorkerBreakerSettings
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    finished,
    joined,
    left,
    prediction,
    reclaimed,
    submitted,
    task,
)
from nexus_sched.testing.checks import bookings_differ

FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.REJECTED)


def bench(workers: int = 4, *, slots: int = 1, **settings: object) -> Bench:
    told = ToldPredictor(lambda _: prediction(100.0))
    here = Bench(
        EngineSettings(predictor="told", prefetch_reach=1e6, worker_breaker=WorkerBreakerSettings(**settings)), told
    )
    here.turn(*(joined(f"w{number}", slots=slots) for number in range(workers)))
    return here


def runs(here: Bench, worker: str, outcome: Outcome, times: int = 5, kind: str = "") -> None:
    """So many runs end there; every run is of another type unless one is given."""
    for number in range(times):
        name = f"{worker}-{here.engine.seq}-{number}"
        for idle in here.engine.roster.ring:  # so that the task goes there
            here.engine.roster.table.set_accepting(idle.row, idle.name == worker)
        here.turn(submitted(task(name, kind or name)))
        record = here.engine.tasks[name]
        assert record.worker == worker, record.place
        for idle in here.engine.roster.ring:
            here.engine.roster.refresh(idle)
        here.turn(finished(name, worker, attempt=record.attempt, outcome=outcome))


def state_of(here: Bench, worker: str) -> str:
    breaker = here.engine.ejection.breakers.get(worker)
    return CLOSED if breaker is None else breaker.state


def broken(here: Bench) -> list[str]:
    return [worker.name for worker in here.engine.roster.ring if worker.broken]


@pytest.mark.parametrize("outcome", FAILURES)
def test_failures_in_a_row_eject_a_worker(outcome: Outcome):
    here = bench()
    runs(here, "w1", outcome, 4)
    assert broken(here) == []
    runs(here, "w1", outcome, 1)
    assert broken(here) == ["w1"]
    assert here.engine.counters["breakers_opened"] == 1
    placed = here.dispatched(*(submitted(f"t{number}") for number in range(3)))
    assert sorted(worker for _, worker in placed) == ["w0", "w2", "w3"]
    assert bookings_differ(here.engine) == []


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.CANCELLED])
def test_other_ends_are_no_failures(outcome: Outcome):
    here = bench()
    runs(here, "w1", outcome, 10)
    assert here.engine.ejection.breakers == {}


def test_success_in_between_keeps_it_closed_only_while_the_share_is_good():
    here = bench()
    for _ in range(6):
        runs(here, "w1", Outcome.SUCCEEDED, 9)
        runs(here, "w1", Outcome.FAILED, 1)
    assert broken(here) == []
    for _ in range(12):
        runs(here, "w1", Outcome.SUCCEEDED, 1)
        runs(here, "w1", Outcome.FAILED, 1)
    assert broken(here) == ["w1"]


def test_old_failures_do_not_count():
    here = bench()
    for _ in range(12):
        runs(here, "w1", Outcome.FAILED, 1)
        runs(here, "w1", Outcome.SUCCEEDED, 1)
        here.turn(after_ms=20_000)
    assert broken(here) == []


def test_what_fails_everywhere_ejects_nobody_for_long():
    here = bench(12)
    for _ in range(10):
        for number in range(12):
            runs(here, f"w{number}", Outcome.FAILED, 1, kind="broken type")
    assert here.engine.ejection.breakers["w0"].failures <= 2
    assert broken(here) == []


def test_what_fails_on_a_few_is_their_fault():
    here = bench(12, ejected_share_max=0.5)
    for _ in range(5):
        for number in range(3):
            runs(here, f"w{number}", Outcome.FAILED, 1, kind="common")
        for number in range(3, 12):
            runs(here, f"w{number}", Outcome.SUCCEEDED, 1, kind="common")
    assert broken(here) == ["w0", "w1", "w2"]


@pytest.mark.parametrize(("workers", "expected"), [(1, 0), (2, 1), (4, 1), (20, 2), (30, 3)])
def test_only_a_share_of_the_fleet_is_ejected(workers: int, expected: int):
    here = bench(workers)
    for number in range(min((workers + 1) // 2, 5)):  # more would be panic
        runs(here, f"w{number}", Outcome.FAILED)
    assert len(broken(here)) == expected
    assert broken(here) == [f"w{number}" for number in range(expected)]


def test_the_next_one_is_ejected_when_the_first_is_back():
    here = bench(4)
    runs(here, "w0", Outcome.FAILED)
    here.turn(after_ms=10_000)
    runs(here, "w1", Outcome.FAILED)
    assert broken(here) == ["w0"]
    here.turn(after_ms=20_000)
    assert (state_of(here, "w0"), broken(here)) == (HALF_OPEN, ["w1"])


def test_panic_ignores_breakers_until_fewer_fail():
    here = bench(4)
    for name in ("w0", "w1", "w2"):
        runs(here, name, Outcome.FAILED)
    assert (here.engine.ejection.panic, here.engine.counters["panics"], broken(here)) == (True, 1, [])
    assert len(here.dispatched(*(submitted(f"t{number}") for number in range(4)))) == 4
    here.turn(*(joined(f"more{number}") for number in range(8)))
    assert (here.engine.ejection.panic, broken(here)) == (False, ["w0"])


def test_half_open_worker_holds_one_task_then_more():
    here = bench(2, slots=7)
    runs(here, "w0", Outcome.FAILED)
    here.turn(WorkerCordoned("w1", False, "", ""))
    assert here.dispatched(*(submitted(f"t{number}") for number in range(9))) == []
    assert here.engine.ejection.breakers["w0"].until_ms == 30_000
    held = [len(here.dispatched(after_ms=30_000))]
    held += [len(here.dispatched(finished(f"t{number}", "w0"))) for number in range(3)]
    assert held == [1, 2, 2, 2]  # each end makes room for the next, and each success for one more
    assert state_of(here, "w0") == CLOSED
    assert here.engine.roster.by_name["w0"].credit == 4  # and it goes on from there
    assert bookings_differ(here.engine) == []


def test_failure_while_half_open_opens_it_for_longer():
    here = bench(2)
    runs(here, "w0", Outcome.FAILED)
    here.turn(after_ms=30_000)
    runs(here, "w0", Outcome.FAILED, 1)
    assert (state_of(here, "w0"), broken(here)) == (OPEN, ["w0"])
    assert here.engine.ejection.breakers["w0"].until_ms - here.now_ms == 60_000


def test_ejection_recalls_what_has_not_started():
    here = bench(2)
    here.turn(WorkerCordoned("w1", False, "", ""))
    here.turn(*(submitted(f"t{number}") for number in range(2)))
    effects = here.turn(WorkerTripped("w0", "smoke", "me"))
    assert [each.task_id for each in effects if isinstance(each, Retract)] == ["t0", "t1"]


def test_dead_worker_counts_one_failure_however_much_it_ran():
    here = bench(4, slots=8)
    here.turn(*(submitted(f"t{number}") for number in range(24)))
    held = list(here.engine.roster.by_name["w1"].placed)
    assert len(held) == 6
    here.turn(*(reclaimed(name, "w1", attempt=1) for name in held), left("w1", lost=True))
    assert here.engine.ejection.breakers["w1"].failures == 1


@pytest.mark.parametrize("reason", [Reason.WORKER_LOST, Reason.WORKER_RESTARTED])
def test_worker_that_keeps_dying_is_ejected_when_it_comes_back(reason: Reason):
    here = bench(3)
    for incarnation in range(2, 7):
        name = f"t{incarnation}"
        here.turn(WorkerCordoned("w0", False, "", ""), WorkerCordoned("w2", False, "", ""))
        here.turn(submitted(task(name, name)), after_ms=2_000)
        here.turn(WorkerResumed("w0", "", ""), WorkerResumed("w2", "", ""))
        here.turn(reclaimed(name, "w1", reason=reason), left("w1", incarnation=incarnation - 1, lost=True))
        here.turn(joined("w1", incarnation=incarnation))
    assert broken(here) == ["w1"]


@pytest.mark.parametrize("reason", [Reason.WORKER_LEFT, Reason.RETRACTED])
def test_tasks_that_come_back_otherwise_are_no_failures(reason: Reason):
    here = bench(1)
    for attempt in range(1, 8):
        here.turn(*([submitted("t1")] if attempt == 1 else []))
        here.turn(reclaimed("t1", "w0", attempt=attempt, reason=reason, started=reason is not Reason.RETRACTED))
        if "t1" not in here.engine.tasks:
            break
    assert here.engine.ejection.breakers == {}


def test_returned_run_that_failed_counts():
    here = bench(2)
    here.turn(submitted("t1"))
    worker = here.engine.tasks["t1"].worker
    here.turn(reclaimed("t1", worker, reason=Reason.RUN_FAILED))
    assert here.engine.ejection.breakers[worker].failures == 1


# -- the score -------------------------------------------------------------------------------------------


def test_fast_failures_do_not_make_a_worker_look_fast():
    here = bench(2)
    for _ in range(3):
        here.turn(WorkerCordoned("w1", False, "", ""))
        name = f"t{here.engine.seq}"
        here.turn(submitted(task(name, name)))
        here.turn(finished(name, "w0", run_ms=0.1, outcome=Outcome.FAILED), WorkerResumed("w1", "", ""))
    w0, w1 = here.engine.roster.ring
    assert (w0.factor, w0.pace, w0.samples) == (w1.factor, w1.pace, w1.samples)
    assert here.engine.roster.table.column("bias_ms")[w0.row] > 30.0
    assert here.dispatched(submitted("next")) == [("next", "w1")]


def test_cost_of_failures_fades_and_the_breaker_is_forgotten():
    here = bench(4)
    runs(here, "w1", Outcome.FAILED, 2)
    row = here.engine.roster.by_name["w1"].row
    before_ms = here.engine.roster.table.column("bias_ms")[row]
    turns = 0
    while (due_ms := here.engine.next_due_ms) is not None:
        here.turn(after_ms=due_ms - here.now_ms)
        turns += 1
    assert before_ms > 0.0
    assert here.engine.roster.table.column("bias_ms")[row] == 0.0
    assert here.engine.ejection.breakers == {}
    assert here.engine.roster.by_name["w1"].breaker is None
    assert turns <= 25


# -- operators -------------------------------------------------------------------------------------------


def test_cordoned_worker_keeps_what_it_has_and_gets_nothing_new():
    here = bench(2)
    here.turn(submitted("t1"), submitted("t2"))
    effects = here.turn(WorkerCordoned("w0", False, "disk", "me"))
    assert [each for each in effects if isinstance(each, Retract)] == []
    assert here.dispatched(submitted("t3"), submitted("t4")) == [("t3", "w1")]


def test_drain_recalls_what_has_not_started():
    here = bench(1)
    here.turn(submitted("t1"), submitted("t2"))
    effects = here.turn(WorkerCordoned("w0", True, "disk", "me"))
    assert [each.task_id for each in effects if isinstance(each, Retract)] == ["t1", "t2"]  # refused for what runs
    assert here.dispatched(reclaimed("t2", "w0", reason=Reason.RETRACTED, started=False)) == []


def test_cordon_outlives_a_restart_and_a_loss():
    here = bench(1)
    here.turn(WorkerCordoned("w0", False, "disk", "me"))
    here.turn(joined("w0", incarnation=2))
    assert here.dispatched(submitted("t1")) == []
    here.turn(left("w0", incarnation=2, lost=True))
    here.turn(joined("w0", incarnation=3))
    assert here.dispatched() == []
    assert here.dispatched(WorkerResumed("w0", "mended", "me")) == [("t1", "w0")]


def test_cordon_may_come_before_the_worker():
    here = bench(1)
    here.turn(WorkerCordoned("later", False, "new", "me"))
    here.turn(joined("later"), WorkerCordoned("w0", False, "", ""))
    assert here.dispatched(submitted("t1")) == []


def test_tripped_worker_is_ejected_whatever_the_shares():
    here = bench(2, ejected_share_max=0.01, panic_share=0.0)
    here.turn(WorkerTripped("w0", "smoke", "me"), WorkerTripped("w1", "smoke", "me"))
    assert broken(here) == ["w0", "w1"]
    assert here.dispatched(submitted("t1")) == []


def test_resumed_worker_starts_with_a_clean_slate():
    here = bench(2)
    here.turn(WorkerTripped("w0", "smoke", "me"))
    here.turn(WorkerResumed("w0", "mended", "me"))
    breaker = here.engine.ejection.breakers["w0"]
    assert (broken(here), breaker.state, breaker.opened, breaker.health_ms) == ([], CLOSED, 0, 0.0)
    assert here.engine.roster.by_name["w0"].trial == 0


def test_tripping_nobody_is_refused():
    here = bench(1)
    (effect,) = here.turn(WorkerTripped("nobody", "smoke", "me"))
    assert isinstance(effect, Noticed)
    assert effect.kind == "refused"


# -- slow start ------------------------------------------------------------------------------------------


def settled(slots: int, **settings: object) -> tuple[Bench, WorkerRecord]:
    """Two idle workers that nobody may use have been there for long; then a third one comes."""
    here = bench(2, **settings)
    here.turn(*(WorkerCordoned(f"w{number}", False, "", "") for number in range(2)), after_ms=10_000)
    here.turn(joined("new", slots=slots), after_ms=10_000)
    return here, here.engine.roster.by_name["new"]


def test_small_worker_is_not_held_back():
    here, worker = settled(FLOOR - 1)
    assert worker.credit == FLOOR
    assert here.engine.next_due_ms is None


def test_fleet_that_has_just_started_is_not_held_back():
    here = bench(20, slots=100)
    assert {worker.credit for worker in here.engine.roster.ring} == {101}
    here.turn(joined("one more", slots=100), after_ms=4_999)
    assert here.engine.roster.by_name["one more"].credit == 101
    here.turn(joined("later", slots=100), after_ms=10_000)
    assert here.engine.roster.by_name["later"].credit == FLOOR


def test_large_worker_starts_slowly_and_grows_with_time():
    here, worker = settled(100)
    credit = [worker.credit]
    while (due_ms := here.engine.next_due_ms) is not None:
        here.turn(after_ms=due_ms - here.now_ms)
        credit.append(worker.credit)
    assert credit == [FLOOR, 25, 50, 75, 101]
    assert here.now_ms == 25_000


def test_large_worker_grows_with_each_success():
    here, worker = settled(100)
    here.turn(*(submitted(f"t{number}") for number in range(200)))
    rounds = 0
    while worker.credit < 101:
        here.turn(*(finished(name, "new") for name in list(worker.placed)))
        rounds += 1
    assert rounds <= 5
    assert bookings_differ(here.engine) == []


def test_slow_start_can_be_switched_off_and_is_none_where_binding_is_early():
    assert settled(100, slow_start_ms=0)[1].credit == 101
    early = Bench(EngineSettings(mode="round-robin", early_inbox_max=50))
    early.turn(joined("w0", slots=100))
    assert early.engine.roster.ring[0].credit == 150


# -- snapshots -------------------------------------------------------------------------------------------


def test_restored_engine_goes_on_alike():
    here = bench(6, slots=20)
    runs(here, "w0", Outcome.FAILED)
    here.turn(WorkerTripped("w1", "smoke", "me"), WorkerCordoned("w2", True, "disk", "me"), after_ms=500)
    runs(here, "w3", Outcome.FAILED, 2, kind="bad")
    blob = snapshot.take(here.engine)
    told = ToldPredictor(lambda _: prediction(100.0))
    twin = snapshot.restore(blob, {**PREDICTORS, "told": lambda _: told})
    assert snapshot.take(twin) == blob
    assert twin.digest() == here.engine.digest()
    here_engine = here.engine
    for number in range(40):
        here.now_ms += 1_000
        events = [submitted(task(f"n{number}", "bad"))]
        at_ns = here.now_ms * 1_000_000
        assert twin.handle(events, at_ns) == here_engine.handle(events, at_ns)
        assert twin.next_due_ms == here_engine.next_due_ms
    assert snapshot.take(twin) == snapshot.take(here_engine)


# -- mass trouble ----------------------------------------------------------------------------------------


def die(here: Bench, task_id: str) -> None:
    """The worker that runs a task dies, and the task comes back."""
    record = here.engine.tasks[task_id]
    worker = here.engine.roster.by_name[record.worker]
    here.turn(reclaimed(task_id, worker.name, attempt=record.attempt), left(worker.name, lost=True), after_ms=100)


def test_task_that_two_workers_died_of_is_buried():
    here = bench(6)
    here.turn(submitted("t1"))
    die(here, "t1")
    die(here, "t1")
    assert "t1" not in here.engine.tasks
    assert here.engine.counters["dead"] == 1


def test_task_on_two_workers_of_many_that_die_is_not_their_killer():
    here = bench(12)
    here.turn(*(submitted(f"t{number}") for number in range(4)))
    for name in ("t1", "t2", "t3", "t0", "t1"):
        die(here, name)
    assert here.engine.counters["dead"] == 0
    assert here.engine.tasks["t1"].past.starts == 2
    die(here, "t1")
    assert here.engine.counters["dead"] == 1  # its attempts are used up: what does kill workers is bounded


def test_deaths_long_ago_are_not_many():
    here = bench(12)
    here.turn(*(submitted(f"t{number}") for number in range(4)))
    for name in ("t1", "t2", "t3"):
        die(here, name)
        here.turn(after_ms=31_000)
    die(here, "t1")
    assert "t1" not in here.engine.tasks
