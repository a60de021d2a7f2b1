"""Records, ring and table agree; the factor follows a worker's speed, and no single run bends it."""

from __future__ import annotations

import math
import random

import pytest
from msgspec import structs

from nexus_sched._kernel.pace import DOUBT_AT_FIRST, FACTOR_MAX, FACTOR_MIN, PACE_MAX, PACE_MIN
from nexus_sched.core import snapshot
from nexus_sched.core.records import Booking, TaskRecord, WorkerRecord
from nexus_sched.core.roster import Roster, banded
from nexus_sched.model.events import WorkerJoined, WorkerReported
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import PREDICTIVE, ROUND_ROBIN, SHADOW, EngineSettings
from nexus_sched.model.terms import Needs, Terms
from nexus_sched.testing.builders import PREDICTORS, Bench, finished, joined, submitted, task

SETTINGS = EngineSettings(prefetch=2, early_inbox_max=100)


def member(roster: Roster, name: str = "w1", *, slots: int = 3, mode: str = PREDICTIVE):
    return roster.join(joined(name, slots=slots), SETTINGS, mode, 1_000)


def placed(name: str, worker: str = "w1", booked_ms: float = 10.0) -> TaskRecord:
    record = TaskRecord(task(name), f"i:{worker}", "1-0")
    record.booking = Booking(booked_ms)
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
        learn_factor(roster, worker, run_ms=300.0, class_ms=100.0)
    assert worker.factor == pytest.approx(3.0, rel=0.02)
    assert roster.table.column("factor")[worker.row] == pytest.approx(worker.factor, rel=1e-6)


def test_one_wild_run_moves_the_factor_by_a_bounded_step():
    roster = Roster()
    worker = member(roster)
    learn_factor(roster, worker, run_ms=1e9, class_ms=1.0)
    assert 1.05 < worker.factor <= 1.35
    fast = member(roster, "w2")
    learn_factor(roster, fast, run_ms=1e-9, class_ms=1e6)
    assert 0.65 <= fast.factor < 0.95


def test_factor_stays_within_its_bounds():
    roster = Roster()
    slow, fast = member(roster, "slow"), member(roster, "fast")
    for _ in range(2_000):
        learn_factor(roster, slow, run_ms=1e9, class_ms=1.0)
        learn_factor(roster, fast, run_ms=1e-6, class_ms=1e6)
    assert (slow.factor, fast.factor) == (FACTOR_MAX, FACTOR_MIN)


def test_small_differences_are_ignored_by_the_choice_and_remembered_by_the_record():
    roster = Roster()
    worker = member(roster)
    for _ in range(300):
        learn_factor(roster, worker, run_ms=108.0, class_ms=100.0)
    assert worker.factor == pytest.approx(1.08, rel=0.01)
    assert roster.table.column("factor")[worker.row] == 1.0


@pytest.mark.parametrize(("run_ms", "class_ms"), [(0.0, 100.0), (100.0, 0.0), (100.0, -1.0), (-5.0, 100.0)])
def test_runs_without_a_ratio_teach_nothing(run_ms: float, class_ms: float):
    roster = Roster()
    worker = member(roster)
    learn_factor(roster, worker, run_ms, class_ms)
    assert (worker.factor, worker.samples) == (1.0, 0)


def predicted(p50_ms: float, spread: float = 0.2, pace: float = 1.0) -> TaskRecord:
    """A record whose worker was told this median, its own pace included."""
    record = placed("t")
    width_ms = 1.2815516 * spread * p50_ms
    told = TaskPrediction(
        p50_ms, p50_ms, p50_ms, p50_ms, 1.0, "told", 1, "told", 1, p50_ms - width_ms, p50_ms + width_ms
    )
    record.booking = Booking(p50_ms, told, pace)
    return record


def learn_factor(
    roster: Roster, worker: WorkerRecord, run_ms: float, class_ms: float, told: TaskPrediction | None = None
) -> None:
    """By a run of which the median and nothing of the spread had been predicted, unless it is told."""
    if told is None:
        told = TaskPrediction(class_ms, class_ms, class_ms, class_ms, 1.0, "told", 1, "told", 1)
    quantiles = told.p50_ms, told.mean_ms, told.p95_ms, told.p10_ms, told.p90_ms
    typical = roster.paces.typical
    roster.paces.learn(worker, worker.row, run_ms, class_ms, 1.0, *quantiles)
    if told.p90_ms == 0.0:
        roster.paces.typical = typical


def learn_pace(roster: Roster, worker: WorkerRecord, run_ms: float, record: TaskRecord) -> None:
    """By a run of a type that is taken to say nothing of the class."""
    told = record.booked.prediction
    assert told is not None
    quantiles = told.p50_ms, told.mean_ms, told.p95_ms, told.p10_ms, told.p90_ms
    roster.paces.learn(worker, worker.row, run_ms, 0.0, record.booked.pace, *quantiles)


def runs(median_ms: float, sigma: float, count: int) -> list[float]:
    dice = random.Random(count)
    return [median_ms * math.exp(dice.gauss(0.0, sigma)) for _ in range(count)]


@pytest.mark.parametrize(("slowness", "low", "high"), [(1.5, 1.35, 1.6), (0.6, 0.55, 0.68), (1.0, 0.93, 1.07)])
def test_pace_of_a_worker_that_the_predictor_does_not_know_reaches_its_slowness(slowness, low, high):
    roster = Roster()
    worker = member(roster)
    for run_ms in runs(100.0 * slowness, 0.15, 100):
        learn_pace(roster, worker, run_ms, predicted(100.0 * banded(worker.pace), 0.15, banded(worker.pace)))
    assert low < worker.pace < high


def test_pace_returns_to_one_when_the_predictor_gets_to_know_the_worker():
    roster = Roster()
    worker = member(roster)
    for _ in range(40):
        learn_pace(roster, worker, 200.0, predicted(100.0))
    assert worker.pace > 1.6
    for _ in range(20):
        learn_pace(roster, worker, 200.0, predicted(200.0 * worker.pace, pace=worker.pace))
    assert banded(worker.pace) == 1.0


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
def test_right_predictions_leave_the_pace_within_its_dead_band(sigma: float):
    roster = Roster()
    worker = member(roster)
    outside = 0
    for run_ms in runs(100.0, sigma, 2_000):
        learn_pace(roster, worker, run_ms, predicted(100.0, sigma))
        outside += banded(worker.pace) != 1.0
    assert outside <= 60  # 3 %


def test_one_wild_run_hardly_moves_the_pace():
    roster = Roster()
    worker = member(roster)
    learn_pace(roster, worker, 1e9, predicted(100.0))
    assert worker.pace < 1.2
    for _ in range(500):
        learn_pace(roster, worker, 1e9, predicted(1e-3))
    assert worker.pace == PACE_MAX
    other = member(roster, "w2")
    for _ in range(500):
        learn_pace(roster, other, 1e-6, predicted(1e6))
    assert other.pace == PACE_MIN


def test_run_that_was_predicted_to_take_no_time_says_nothing_of_the_pace():
    roster = Roster()
    worker = member(roster)
    learn_pace(roster, worker, 100.0, predicted(0.0))
    learn_pace(roster, worker, 0.0, predicted(100.0))
    assert (worker.pace, worker.pace_samples) == (1.0, 0)


def share_after(*reports: tuple[int, float, int], reference: float = 0.0, slots: int = 4) -> float:
    """Reports as (instant, cpu, running)."""
    roster = Roster()
    worker = member(roster, slots=slots)
    for at_ms, cpu, running in reports:
        roster.take_load(worker, cpu, running, reference, at_ms)
    return roster.table.share(worker.row)


def test_processors_that_our_own_tasks_use_are_not_external_load():
    assert share_after(*((at_ms, 0.75, 3) for at_ms in range(0, 20_000, 1_000))) == 1.0


def test_external_load_shortens_the_slots_down_to_a_quarter():
    busy = share_after(*((at_ms, 0.9, 2) for at_ms in range(0, 60_000, 1_000)))
    assert busy == pytest.approx(0.6, abs=0.01)
    assert share_after(*((at_ms, 1.0, 0) for at_ms in range(0, 60_000, 1_000))) == pytest.approx(0.25, abs=0.01)


def test_load_that_is_normal_on_a_machine_costs_nothing():
    assert share_after(*((at_ms, 0.3, 0) for at_ms in range(0, 60_000, 1_000)), reference=0.3) == 1.0


def test_report_after_a_long_silence_counts_for_more():
    quiet, soon, late = (0, 0.0, 0), (1_000, 0.8, 0), (300_000, 0.8, 0)
    assert share_after(quiet, late) < share_after(quiet, soon) < 1.0


def test_effective_slots_make_what_waits_there_take_longer():
    roster = Roster()
    worker = member(roster, slots=1)
    roster.book(worker, placed("a", booked_ms=100.0))
    for at_ms in range(0, 60_000, 500):
        roster.take_load(worker, 1.0, 0, 0.0, at_ms)
    assert roster.table.wait_ms(worker.row) == pytest.approx(400.0, rel=0.02)


def test_share_and_pace_and_what_is_offered_survive_a_snapshot():
    bench = Bench(EngineSettings())
    offers = ({"zone": "a"}, ("spot",), {"memory": 8.0})
    asks = Terms(needs=Needs((), ("spot",), (("memory", 3.0),)))
    bench.turn(WorkerJoined("w1", 1, 2, "", *offers), submitted(structs.replace(task("t1", hint_ms=10.0), asks=asks)))
    bench.turn(WorkerReported("w1", 1, False, 0, 0, 0.9))
    bench.turn(finished("t1", run_ms=300.0), submitted(structs.replace(task("t2"), asks=asks)))
    engine = snapshot.restore(snapshot.take(bench.engine), PREDICTORS)
    for one in (engine, bench.engine):
        worker = one.roster.by_name["w1"]
        assert (worker.labels, worker.taints, worker.resources) == offers
        assert worker.used == {"memory": 3.0}
        assert worker.pace != 1.0
        assert one.roster.table.share(worker.row) < 1.0
        assert one.roster.resources.columns["memory"].free[worker.row] == 5.0
        assert one.roster.tainted == 1
    assert engine.digest() == bench.engine.digest()
    engine.roster.by_name["w1"].used["memory"] = 2.0
    assert engine.digest() != bench.engine.digest()


def test_what_predictions_miss_everywhere_is_no_worker_s_own():
    roster = Roster()
    workers = [member(roster, f"w{number}") for number in range(20)]
    dice = random.Random(7)
    for _ in range(200):
        for number, worker in enumerate(workers):
            slowness = 1.6 if number == 0 else 1.0
            run_ms = 115.0 * slowness * math.exp(dice.gauss(0.0, 0.2))
            learn_factor(roster, worker, run_ms, 100.0, predicted(100.0).booked.prediction)
    assert roster.paces.typical == pytest.approx(1.15, abs=0.05)
    assert workers[0].factor == pytest.approx(1.6, abs=0.15)
    assert all(banded(worker.factor) == 1.0 for worker in workers[1:])


@pytest.mark.parametrize(("slowness", "runs_max"), [(2.0, 12), (0.5, 12), (1.5, 25)])
def test_slow_and_fast_workers_are_told_apart_in_a_few_runs(slowness: float, runs_max: int):
    for seed in range(20):
        roster, dice = Roster(), random.Random(seed)
        worker, told = member(roster), predicted(100.0, 0.35).booked.prediction
        for _ in range(runs_max):
            learn_factor(roster, worker, 100.0 * slowness * math.exp(dice.gauss(0.0, 0.35)), 100.0, told)
        assert roster.table.factor(worker.row) == pytest.approx(worker.factor, rel=1e-6), f"seed {seed}"
        assert worker.factor == pytest.approx(slowness, rel=0.35), f"seed {seed}"


def test_narrow_prediction_says_more_of_a_worker_than_a_wide_one():
    roster = Roster()
    narrow, wide = member(roster, "narrow"), member(roster, "wide")
    for worker, spread in ((narrow, 0.1), (wide, 1.0)):
        learn_factor(roster, worker, 130.0, 100.0, predicted(100.0, spread).booked.prediction)
    assert narrow.factor > 1.15 > 1.06 > wide.factor > 1.0
    assert narrow.doubt < 0.04 < wide.doubt < DOUBT_AT_FIRST


def test_factor_of_one_run_is_for_estimates_and_not_yet_for_the_choice():
    roster = Roster()
    worker = member(roster)
    learn_factor(roster, worker, 150.0, 100.0, predicted(100.0, 0.35).booked.prediction)
    assert worker.factor > 1.1
    assert roster.table.factor(worker.row) == 1.0


def test_changed_pace_is_doubted_anew():
    roster = Roster()
    worker = member(roster)
    for _ in range(50):
        learn_factor(roster, worker, 100.0, 100.0, predicted(100.0, 0.2).booked.prediction)
    sure = worker.doubt
    roster.paces.restart(worker, worker.row, 3.0, 2)
    assert worker.doubt > 5.0 * sure
    assert roster.table.factor(worker.row) == 3.0
    for _ in range(4):
        learn_factor(roster, worker, 200.0, 100.0, predicted(100.0, 0.2).booked.prediction)
    assert worker.factor == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_identical_workers_stay_within_the_dead_band_though_means_lie_above_medians(sigma: float):
    roster = Roster()
    workers = [member(roster, f"w{number}") for number in range(20)]
    dice = random.Random(11)
    mean_ms = 100.0 * math.exp(sigma * sigma / 2.0)
    told = structs.replace(predicted(100.0, sigma).booked.prediction, mean_ms=mean_ms)
    outside = 0
    for _ in range(300):
        for worker in workers:
            learn_factor(roster, worker, 100.0 * math.exp(dice.gauss(0.0, sigma)), mean_ms, told)
            outside += roster.table.factor(worker.row) != 1.0
    assert outside <= 0.06 * 300 * len(workers)


def test_what_is_typical_survives_a_snapshot():
    bench = Bench(EngineSettings())
    bench.turn(joined(), submitted(task("t1", hint_ms=10.0)))
    bench.turn(finished("t1", run_ms=300.0))
    assert bench.engine.roster.paces.typical > 1.0
    engine = snapshot.restore(snapshot.take(bench.engine), PREDICTORS)
    assert engine.roster.paces.typical == bench.engine.roster.paces.typical
    assert engine.digest() == bench.engine.digest()
    engine.roster.paces.typical = 1.0
    assert engine.digest() != bench.engine.digest()
