"""A recorded hour again: what the journal says of it, how far the model is off, and what changes bring."""

from __future__ import annotations

import math

import pytest
from msgspec import structs

from nexus_sched.errors import InvalidInput
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Terms
from nexus_sched.replay.span import Kept, last
from nexus_sched.sim.drive import drive
from nexus_sched.sim.history import History
from nexus_sched.sim.hour import Hour, read_hour
from nexus_sched.sim.measure import measure
from nexus_sched.sim.pace import paces
from nexus_sched.sim.policies import PREDICTORS, make_core
from nexus_sched.sim.scenarios import Size, generate
from nexus_sched.sim.what_if import HAPPENED, SIMULATED, WHAT_IF, Changes, recorded, what_if, with_workers
from nexus_sched.sim.workload import Fault, FleetWorker, Workload
from tests.unit.sim.recorded import EPOCH_MS, in_epoch, recorded_run
from tests.unit.sim.workloads import nobody, workload

SMALL = Size(workers=10, tasks=800, load=0.85)


def silent(name: str, done: int) -> None:
    """Takes reports of progress."""


def hour_of(tasks: Workload, since_ms: int | None = None) -> tuple[Hour, History]:
    turns, history = recorded_run(tasks)
    span = last(Kept(None, turns), since_ms, PREDICTORS)
    return read_hour(span.before, span.turns), history


@pytest.fixture(scope="module")
def calm() -> Hour:
    return hour_of(generate("hetero", SMALL, 4))[0]


def test_hour_has_every_task_with_its_run_and_its_worker():
    types = ("a", "b", "a", "c")
    tasks = workload([0.0, 5.0, 7.0, 500.0], [50.0, 60.0, 70.0, 1.0], slowness=(1.0, 2.0), rtt_ms=2.0, types=types)
    hour, history = hour_of(tasks)
    assert hour.from_ms == EPOCH_MS
    assert [worker.name for worker in hour.workers] == ["w0", "w1"]
    assert hour.faults == []
    assert [done.task.type for done in hour.tasks] == ["a", "b", "a"]  # the last end was never heard of
    assert hour.left_out == {"had not ended": 1}
    for number, done in enumerate(hour.tasks):
        assert done.worker == history.worker[number]
        assert done.run_ms == pytest.approx(history.finished_ms[number] - history.started_ms[number])
        assert done.finished_ms == pytest.approx(history.finished_ms[number], abs=1.0)  # turns are at whole ms
        assert done.arrived_ms == pytest.approx(tasks.arrivals_ms[number], abs=1.0)


def test_hour_begins_with_what_was_there_and_knows_what_was_learned():
    tasks = workload([10.0 * number for number in range(60)], [25.0] * 60, slowness=(1.0, 1.0, 1.0))
    whole, _ = hour_of(tasks)
    later, _ = hour_of(tasks, since_ms=300)
    assert later.from_ms > whole.from_ms
    assert later.until_ms == whole.until_ms
    assert len(later.tasks) < len(whole.tasks)
    assert [worker.late for worker in later.workers] == [False] * 3
    assert later.tasks[0].arrived_ms == 0.0
    assert later.knowledge.active[1] != whole.knowledge.active[1]


def test_comings_and_goings_are_taken_over():
    faults = [Fault(40.0, 0), Fault(100.0, 1, leaves=True), Fault(250.0, 2, joins=True)]
    tasks = workload([10.0 * n for n in range(60)] + [40_000.0], [20.0] * 61, slowness=(1.0,) * 3, faults=faults)
    tasks.workers[2] = structs.replace(tasks.workers[2], late=True)
    hour, _ = hour_of(tasks)
    found = {(fault.worker, fault.joins, fault.leaves): fault.at_ms for fault in hour.faults}
    assert found.keys() == {(0, False, False), (1, False, True), (2, True, False)}
    assert found[0, False, False] == pytest.approx(40.0, abs=1.0)
    assert found[1, False, True] == pytest.approx(100.0, abs=1.0)
    assert found[2, True, False] == pytest.approx(250.0, abs=1.0)
    assert [worker.late for worker in hour.workers] == [False, False, True]


def test_runs_that_failed_count_and_rejections_are_left_out(calm: Hour):
    turns, _ = recorded_run(workload([0.0, 1.0, 2.0, 900.0], [10.0, 10.0, 10.0, 1.0]))
    outcomes = iter([Outcome.FAILED, Outcome.REJECTED, Outcome.SUCCEEDED])
    changed = [
        structs.replace(turn, events=[_with_outcome(event, outcomes) for event in turn.events]) for turn in turns
    ]
    span = last(Kept(None, turns), None, PREDICTORS)
    hour = read_hour(span.before, changed)
    assert [done.task.id for done in hour.tasks] == ["0", "2"]
    assert hour.left_out == {"ended without a run": 1, "had not ended": 1}


def _with_outcome(event, outcomes):
    return structs.replace(event, outcome=next(outcomes)) if type(event).__name__ == "TaskFinished" else event


@pytest.mark.parametrize(("scenario", "load"), [("hetero", 0.85), ("burst", 0.85), ("churn", 0.6)])
def test_model_is_close_to_what_happened(scenario: str, load: float):
    hour, _ = hour_of(generate(scenario, structs.replace(SMALL, load=load), 4))
    answer = what_if(hour, Changes(), PREDICTORS, silent)
    assert list(answer.figures) == [HAPPENED, SIMULATED]
    for name in ("response_s.mean", "response_s.p50", "utilisation.mean"):
        happened, simulated = answer.figures[HAPPENED][name], answer.figures[SIMULATED][name]
        assert happened is not None
        assert simulated == pytest.approx(happened, rel=0.15), name


def test_what_happened_has_the_figures_of_the_run_itself():
    tasks = generate("hetero", SMALL, 4)
    hour, history = hour_of(tasks)
    figures = what_if(hour, Changes(), PREDICTORS, silent).figures[HAPPENED]
    truth = measure(tasks, history)
    for name in ("response_s.mean", "utilisation.mean", "eta_within_25", "prediction_within_25"):
        assert figures[name] == pytest.approx(truth[name], rel=0.03), name
    # what had not ended when the record does is left out, and that is the longest
    assert 0.8 * truth["response_s.p99"] < figures["response_s.p99"] <= truth["response_s.p99"]


def test_more_workers_are_foreseen_as_they_would_have_been():
    size = structs.replace(SMALL, tasks=1_500)
    tasks = generate("identical", size, 2)
    hour, _ = hour_of(tasks)
    foreseen = what_if(hour, Changes(workers=5), PREDICTORS, silent)
    workers = [FleetWorker(f"w-{index:04d}") for index in range(15)]
    larger = structs.replace(tasks, workers=workers, truth=tasks.truth.on(workers))
    truth = measure(larger, drive(larger, make_core("predictive", larger, 2, EngineSettings()), nobody))
    assert (foreseen.workers, foreseen.workers_then) == (10, 15)
    for name in ("response_s.mean", "response_s.p99", "utilisation.mean"):
        assert foreseen.figures[WHAT_IF][name] == pytest.approx(truth[name], rel=0.1), name


def test_fewer_workers_and_another_order_change_what_they_should(calm: Hour):
    fewer = what_if(calm, Changes(workers=-1), PREDICTORS, silent).figures
    assert fewer[WHAT_IF]["response_s.mean"] > fewer[SIMULATED]["response_s.mean"]
    bursts, _ = hour_of(generate("burst", SMALL, 4))
    slow = what_if(bursts, Changes(settings={"order_weight": 0.0}), PREDICTORS, silent).figures
    assert slow[WHAT_IF]["slowdown.mean"] > slow[SIMULATED]["slowdown.mean"]


def test_workers_are_added_and_removed_evenly_from_fast_to_slow():
    tasks = workload([0.0], [1.0], slowness=(5.0, 1.0, 4.0, 2.0, 3.0), faults=[Fault(9.0, 1)])
    more = with_workers(tasks, 2)
    assert [worker.name for worker in more.workers[5:]] == ["w4+1", "w0+2"]  # w1 dies, so it is no example
    assert [worker.slowness for worker in more.workers[5:]] == [3.0, 5.0]
    fewer = with_workers(tasks, -1)
    assert [worker.name for worker in fewer.workers] == ["w0", "w1", "w3", "w4"]
    assert (fewer.faults[0].worker, fewer.truth.run_ms(0, 3, 0.0)) == (1, 3.0)
    with pytest.raises(InvalidInput, match="4 workers stayed to the end: -4 cannot be done"):
        with_workers(tasks, -4)


def test_predictor_that_was_not_there_begins_without_knowledge(calm: Hour):
    known = what_if(calm, Changes(settings={"predictor": "ema"}), PREDICTORS, silent)
    assert not any("without knowledge" in note for note in known.notes)
    nobody_knew = structs.replace(calm.knowledge, active=("", b""))
    hour = structs.replace(calm, knowledge=nobody_knew)
    assert any("learned was not learning then" in note for note in what_if(hour, Changes(), PREDICTORS, silent).notes)


def test_span_without_an_end_cannot_be_simulated():
    hour, _ = hour_of(workload([0.0], [10.0]))
    with pytest.raises(InvalidInput, match="no task ended in this span"):
        what_if(hour, Changes(), PREDICTORS, silent)


def test_instants_that_tasks_ask_for_stay_where_they_are():
    asks = Terms(not_before_ms=EPOCH_MS + 500)
    tasks = [Task("0", "t", 5, 0, 0), Task("1", "t", 5, 0, 10, asks=asks), Task("2", "t", 5, 0, 900)]
    hour, _ = hour_of(workload([0.0, 10.0, 900.0], [5.0] * 3, tasks=tasks))
    again = drive(recorded(hour), make_core("predictive", recorded(hour), 1, hour.settings), nobody)
    assert again.started_ms[1] >= 500.0


def test_clock_of_the_scheduler_changes_nothing():
    tasks = generate("hetero", Size(workers=6, tasks=200, load=0.9), 5)
    histories = [
        drive(each, make_core("predictive", each, 1, EngineSettings()), nobody) for each in (tasks, in_epoch(tasks))
    ]
    assert histories[0].finished_ms == histories[1].finished_ms
    ends = [[eta.at_ms + eta.finish_p50_ms for eta in history.etas if eta] for history in histories]
    assert ends[0] == pytest.approx(ends[1], abs=0.01)


def test_pace_is_not_confused_by_who_was_given_what():
    runs = [("long", 0, 1_000.0)] * 8 + [("short", 0, 10.0)] * 2 + [("long", 1, 2_000.0)] * 2 + [("short", 1, 20.0)] * 8
    found = paces([*runs, ("short", 2, 90.0)], ["a", "b", "a", "c"])
    assert found[1] / found[0] == pytest.approx(2.0, rel=1e-3)
    assert found[2] == found[0]  # one run says nothing: as its class
    assert found[3] == pytest.approx(math.sqrt(found[0] * found[1]))  # nobody of its class ran
    assert paces([], ["a"]) == [1.0]
