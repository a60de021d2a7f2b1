"""Joining, leaving, draining, suspicion, and what happens to the tasks that were there."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.core import snapshot
from nexus_sched.errors import InvalidInput
from nexus_sched.model.effects import Retract
from nexus_sched.model.events import (
    EpochBegan,
    PredictorOverran,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
    WorkerSuspected,
    WorkerTrusted,
)
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import ROUND_ROBIN, SHADOW, EngineSettings
from nexus_sched.model.terms import Condition, Needs, Operator, Terms
from nexus_sched.testing.builders import (
    PREDICTORS,
    Bench,
    ToldPredictor,
    draining,
    finished,
    joined,
    left,
    prediction,
    raising,
    reclaimed,
    submitted,
    task,
)
from nexus_sched.testing.checks import bookings_differ


@pytest.fixture
def bench():
    bench = Bench(EngineSettings(predictor="ema", prefetch=0))
    yield bench
    assert bookings_differ(bench.engine) == []


def retracted(effects) -> list[str]:
    return [each.task_id for each in effects if isinstance(each, Retract)]


def test_suspect_gets_nothing_until_it_is_trusted(bench: Bench):
    bench.turn(joined(), WorkerSuspected("w1"))
    assert bench.dispatched(submitted("t1")) == []
    assert bench.dispatched(WorkerTrusted("w1")) == [("t1", "w1")]


def test_standing_of_an_unknown_worker_changes_nothing(bench: Bench):
    unknown = (WorkerSuspected("w9"), WorkerTrusted("w9"), left("w9"), draining("w9"))
    assert bench.turn(*unknown) == []


def test_draining_worker_gives_back_what_it_has_not_begun(bench: Bench):
    bench.turn(joined(slots=2), submitted("t1"), submitted("t2"))
    assert retracted(bench.turn(draining())) == ["t1", "t2"]
    assert bench.turn(draining()) == []  # once is enough
    assert bench.dispatched(submitted("t3")) == []


def test_trust_does_not_end_a_drain(bench: Bench):
    bench.turn(joined(), draining(), WorkerSuspected("w1"), WorkerTrusted("w1"))
    assert bench.dispatched(submitted("t1")) == []


def test_report_of_a_former_incarnation_changes_nothing(bench: Bench):
    bench.turn(joined(incarnation=1), joined(incarnation=2), draining(incarnation=1))
    assert bench.dispatched(submitted("t1")) == [("t1", "w1")]


def test_farewell_of_a_former_incarnation_changes_nothing(bench: Bench):
    bench.turn(joined(incarnation=1), joined(incarnation=2), left(incarnation=1, lost=True))
    assert bench.dispatched(submitted("t1")) == [("t1", "w1")]
    assert bench.engine.counters["workers_lost"] == 0


def test_lost_worker_is_counted_and_its_row_is_free_again(bench: Bench):
    bench.turn(joined())
    bench.turn(left(lost=True))
    assert (bench.engine.counters["workers_lost"], len(bench.engine.roster.table)) == (1, 0)
    assert bench.engine.roster.ring == []


def test_dispatch_that_crossed_a_farewell_is_asked_back(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    assert bench.turn(left()) == [Retract("t1", 1, "w1", "1-0")]
    # it returns by way of q:r and goes to somebody else
    back = reclaimed("t1", reason=Reason.RETRACTED, started=False)
    assert bench.dispatched(back, joined("w2")) == [("t1", "w2")]


def test_fact_of_a_worker_that_left_and_came_back_books_nothing_off_its_successor(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    bench.turn(left(), joined(incarnation=2), submitted("t2"))
    bench.turn(finished("t1", attempt=1))
    assert bench.engine.roster.by_name["w1"].in_flight == 1


def test_rejoin_keeps_what_lies_in_the_inbox_and_what_was_learned(bench: Bench):
    bench.turn(joined(slots=2), submitted("t1"))
    worker = bench.engine.roster.by_name["w1"]
    worker.factor = 2.0
    bench.turn(joined(slots=3, incarnation=2, worker_class="big"))
    assert bench.engine.roster.by_name["w1"] is worker
    facts = (worker.in_flight, worker.slots, worker.credit, worker.incarnation, worker.worker_class, worker.factor)
    assert facts == (1, 3, 3, 2, "big", 2.0)


def test_rejoin_ends_drain_and_suspicion(bench: Bench):
    bench.turn(joined(), draining(), WorkerSuspected("w1"))
    assert bench.dispatched(joined(incarnation=2), submitted("t1")) == [("t1", "w1")]


def test_rejoin_with_fewer_slots_gives_the_excess_back(bench: Bench):
    bench.turn(joined(slots=3), submitted("t1"), submitted("t2"), submitted("t3"))
    assert retracted(bench.turn(joined(slots=1, incarnation=2))) == ["t2", "t3"]


def test_report_is_a_sign_of_life(bench: Bench):
    bench.turn(joined())
    bench.turn(WorkerReported("w1", 1, False, 0, 0), after_ms=500)
    worker = bench.engine.roster.by_name["w1"]
    assert (worker.heard_at_ms, bench.engine.roster.table.heard_at_ms(worker.row)) == (500, 500.0)


def test_report_of_other_labels_and_resources_counts_from_then_on(bench: Bench):
    bench.turn(WorkerJoined("w1", 1, 2, "", {"zone": "a"}, (), {"gpu": 1.0}))
    asks = Terms(needs=Needs((Condition("zone", Operator.IN, ("b",)),), (), (("gpu", 2.0),)))
    waiting = submitted(structs.replace(task("t1"), asks=asks))
    assert bench.dispatched(waiting) == []
    assert bench.dispatched(WorkerReported("w1", 1, False, 0, 0, labels={"zone": "b"})) == []
    assert bench.dispatched(WorkerReported("w1", 1, False, 0, 0, resources={"gpu": 2.0})) == [("t1", "w1")]
    worker = bench.engine.roster.by_name["w1"]
    assert (worker.labels, worker.resources) == ({"zone": "b"}, {"gpu": 2.0})
    bench.turn(WorkerReported("w1", 1, False, 0, 0, resources={}), finished("t1"))
    assert (worker.resources, bench.engine.roster.resources.columns) == ({}, {})


def test_patience_a_worker_asked_for_is_known_and_survives_a_snapshot(bench: Bench):
    bench.turn(WorkerJoined("w1", 1, 1, "", silence_ms=30_000), joined("w2"))
    for engine in (bench.engine, snapshot.restore(snapshot.take(bench.engine), PREDICTORS)):
        assert [engine.roster.silence_s(name) for name in ("w1", "w2", "nobody")] == [30.0, 0.0, 0.0]


# -- epochs and configuration


def test_epoch_with_new_settings_takes_effect(bench: Bench):
    bench.turn(joined(slots=1))
    bench.turn(EpochBegan(3, "leader", EngineSettings(mode=ROUND_ROBIN, early_inbox_max=5)))
    assert bench.engine.epoch == 3
    assert bench.engine.roster.by_name["w1"].credit == 6


def test_epoch_with_the_same_settings_keeps_the_mode_an_operator_chose():
    settings = EngineSettings(prefetch=0)
    bench = Bench(settings)
    bench.engine.placement.set_mode(SHADOW)
    bench.turn(EpochBegan(2, "leader", settings))
    assert bench.engine.placement.mode == SHADOW


def test_epoch_with_an_unknown_predictor_is_refused(bench: Bench):
    with pytest.raises(InvalidInput, match="oracle"):
        bench.turn(EpochBegan(2, "leader", EngineSettings(predictor="oracle")))


def test_epoch_with_other_settings_keeps_what_was_learned_and_uses_the_settings(bench: Bench):
    bench.turn(joined(), submitted("t1"))
    bench.turn(finished("t1", run_ms=40.0))
    bench.turn(EpochBegan(2, "leader", EngineSettings(predictor="ema", min_samples=2)))
    predictor = bench.engine.forecasts.active
    assert predictor.predict(task("t2")) is None  # one sample is no longer enough
    bench.turn(submitted("t2"))
    bench.turn(finished("t2", run_ms=40.0))
    known = predictor.predict(task("t3"))
    assert known is not None
    assert (known.samples, known.mean_ms) == (2, 40.0)


# -- the breaker seen from the engine


def test_measured_overruns_open_the_breaker():
    told = ToldPredictor(lambda _: prediction(10.0))
    bench = Bench(predictor=told)
    bench.turn(joined(), PredictorOverran(2_000.0), PredictorOverran(2_000.0), PredictorOverran(2_000.0))
    bench.turn(submitted("t1"))
    assert told.asked == 0


def test_predictor_that_cannot_learn_is_failing_and_the_task_has_ended_all_the_same():
    told = ToldPredictor(lambda _: None)
    told.learn = raising  # type: ignore[assignment,method-assign]  # broken on purpose
    bench = Bench(predictor=told)
    bench.turn(joined(), submitted("t1"))
    bench.turn(finished("t1"))
    assert (bench.engine.counters["finished"], bench.engine.forecasts.breaker.failures) == (1, 1)
    assert bench.engine.tasks == {}


def test_who_has_left_is_remembered_for_a_minute():
    bench = Bench()
    bench.turn(*(joined(name) for name in ("w1", "w2", "w3")))
    bench.turn(WorkerLeft("w1", 1, False))
    first_ms = bench.now_ms
    bench.turn(WorkerLeft("w2", 1, True), after_ms=40_000)
    assert bench.engine.departed == {"w1": first_ms, "w2": first_ms + 40_000}
    bench.turn(WorkerLeft("w3", 1, False), after_ms=40_000)
    assert list(snapshot.restore(snapshot.take(bench.engine), PREDICTORS).departed) == ["w2", "w3"]
