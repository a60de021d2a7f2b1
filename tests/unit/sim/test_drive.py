"""Virtual time by hand: when tasks start and end, what a core hears and when."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from nexus_sched.core.engine import Engine
from nexus_sched.fallback.least_outstanding import LeastOutstanding
from nexus_sched.fallback.round_robin import RoundRobin
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.effects import CancelRunning, Dispatch, Retract
from nexus_sched.model.events import (
    TaskFinished,
    TaskReclaimed,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
    WorkerSuspected,
)
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import PRIORITY_DEFAULT, Task
from nexus_sched.model.terms import Terms
from nexus_sched.sim.drive import SimulationStuck, drive
from nexus_sched.sim.early import EarlyBinding
from nexus_sched.sim.fleet import DEAD_MS, SUSPECT_MS
from nexus_sched.sim.policies import POLICIES, PREDICTORS
from nexus_sched.sim.pull import SharedQueue
from nexus_sched.sim.workload import Fault, Spell, Warmth
from tests.unit.sim.workloads import Scripted, nobody, workload


def send(task: int, worker: str, attempt: int = 1) -> Dispatch:
    return Dispatch(SchedulingDecision(str(task), "t", worker, attempt, "by hand"), "", "")


def test_one_worker_first_come_first_served_takes_one_after_the_other():
    history = drive(workload([0.0, 1.0, 2.0, 40.0], [5.0, 10.0, 1.0, 2.0]), SharedQueue(), nobody)
    assert history.started_ms == [0.0, 5.0, 15.0, 40.0]
    assert history.finished_ms == [5.0, 15.0, 16.0, 42.0]
    assert history.until_ms == 42.0


def test_round_trip_delays_orders_and_news_by_half_of_it_each():
    tasks = workload([0.0, 0.0], [5.0, 5.0], rtt_ms=4.0)
    late = drive(tasks, SharedQueue(), nobody)
    assert late.started_ms == [2.0, 11.0]  # sent at 0; ends at 7, heard at 9, and the next is there at 11
    early = drive(tasks, EarlyBinding(LeastOutstanding()), nobody)
    assert early.started_ms == [2.0, 7.0]  # it lay in the worker's own queue already


def test_least_outstanding_goes_by_counts_and_round_robin_by_turns():
    tasks = workload([0.0, 1.0, 2.0, 3.0], [10.0, 1.0, 1.0, 1.0], slowness=(1.0, 1.0))
    least = drive(tasks, EarlyBinding(LeastOutstanding()), nobody)
    assert least.worker == [0, 1, 1, 1]
    turns = drive(tasks, EarlyBinding(RoundRobin(early=True)), nobody)
    assert turns.worker == [0, 1, 0, 1]
    assert turns.started_ms == [0.0, 1.0, 10.0, 3.0]


def test_worker_with_two_slots_runs_two_at_once():
    history = drive(workload([0.0, 0.0, 0.0], [4.0, 6.0, 5.0], slots=2), SharedQueue(), nobody)
    assert history.started_ms == [0.0, 0.0, 4.0]


def test_slow_worker_takes_longer_and_longer_still_in_its_spell():
    slow = Spell(worker=0, from_ms=50.0, until_ms=100.0, factor=5.0)
    history = drive(workload([0.0, 60.0, 200.0], [10.0] * 3, slowness=(2.0,), spells=[slow]), SharedQueue(), nobody)
    assert [end - start for start, end in zip(history.started_ms, history.finished_ms, strict=True)] == [20, 100, 20]


def test_worker_that_leaves_ends_what_it_runs_and_gives_back_the_rest():
    leaves = Fault(5.0, 0, leaves=True)
    core = Scripted([], [send(0, "w0"), send(1, "w0")], [send(1, "w1", 2)])
    history = drive(workload([0.0, 0.0], [20.0, 10.0], slowness=(1.0, 1.0), faults=[leaves]), core, nobody)
    assert (history.worker, history.finished_ms) == ([0, 1], [20.0, 15.0])
    told = [event for _, events in core.heard for event in events]
    assert [type(event) for event in told[4:6]] == [WorkerReported, TaskReclaimed]
    assert (told[5].reason, told[5].started) == (Reason.WORKER_LEFT, False)
    assert history.up[0] == [(0.0, 20.0)]
    assert history.repeated == 0


def test_worker_that_comes_late_is_not_there_before():
    tasks = workload([0.0, 50.0], [10.0, 10.0], slowness=(1.0, 1.0), faults=[Fault(30.0, 1, joins=True)])
    tasks.workers[1] = structs.replace(tasks.workers[1], late=True)
    core = Scripted([], [send(0, "w0")], [], [], [send(1, "w1")])
    history = drive(tasks, core, nobody)
    assert [event.worker for event in core.heard[0][1]] == ["w0"]
    assert (history.worker, history.finished_ms) == ([0, 1], [10.0, 60.0])


def test_affinity_key_costs_a_cold_start_once_while_it_is_remembered():
    keys = ["a", "a", "b", "a"]
    tasks = [
        Task(str(number), "t", PRIORITY_DEFAULT, 0, 0, asks=Terms(affinity=key)) for number, key in enumerate(keys)
    ]
    cold = Warmth(cold_ms=7.0, keys=1)
    history = drive(workload([0.0] * 4, [1.0] * 4, tasks=tasks, warmth=cold), SharedQueue(), nobody)
    assert history.finished_ms == [8.0, 9.0, 17.0, 25.0]
    assert (history.warm, history.cold) == (1, 3)


def test_mean_response_of_one_server_is_that_of_theory():
    random = np.random.default_rng(5)
    count, load, service_ms = 20_000, 0.5, 10.0
    arrivals = np.cumsum(random.exponential(service_ms / load, count))
    tasks = workload(arrivals.tolist(), random.exponential(service_ms, count).tolist())
    history = drive(tasks, SharedQueue(), nobody)
    response = (np.array(history.finished_ms) - arrivals).mean()
    assert response == pytest.approx(service_ms / (1.0 - load), rel=0.05)  # M/M/1


def test_engine_learns_which_worker_is_faster_and_prefers_it():
    arrivals = [200.0 * number for number in range(100)]
    history = drive(workload(arrivals, [100.0] * 100, slowness=(4.0, 1.0)), Engine(PREDICTORS), nobody)
    assert history.worker[50:].count(1) > 45
    newest = [history.predicted_ms[number] for number in range(90, 100) if history.worker[number] == 1]
    assert newest == pytest.approx([100.0] * len(newest), rel=0.05)


def test_oracle_knows_the_faster_worker_from_the_first_task_on():
    tasks = workload([0.0, 1_000.0], [100.0, 100.0], slowness=(4.0, 1.0))
    history = drive(tasks, POLICIES["oracle"](tasks, 1, EngineSettings()), nobody)
    assert history.predicted_ms == [100.0 * tasks.workers[worker].slowness for worker in history.worker]


def test_core_hears_everything_of_one_instant_in_one_turn():
    core = Scripted([], [send(0, "w0"), send(1, "w1")], [], [send(2, "w0")])
    drive(workload([3.0, 3.0, 20.0], [5.0, 5.0, 5.0], slowness=(1.0, 1.0), rtt_ms=2.0), core, nobody)
    joined, submitted, finished, _ = core.heard
    assert (joined[0], [type(event) for event in joined[1]]) == (0.0, [WorkerJoined, WorkerJoined])
    assert (submitted[0], len(submitted[1])) == (3.0, 2)
    assert (finished[0], len(finished[1])) == (10.0, 2)
    assert finished[1][0] == TaskFinished("0", 1, "w0", Outcome.SUCCEEDED, 5.0, 0.0, 0)


def test_core_gets_the_turn_it_asked_for():
    class Punctual(Scripted):
        next_due_ms = 7

        def handle(self, events, at_ns):
            effects = super().handle(events, at_ns)
            if at_ns == 7_000_000:
                self.next_due_ms = None
                return [send(0, "w0")]
            return effects

    core = Punctual()
    history = drive(workload([2.0], [5.0]), core, nobody)
    assert [at_ms for at_ms, _ in core.heard] == [0.0, 2.0, 7.0]
    assert history.finished_ms == [12.0]


def test_task_that_nobody_places_is_told_as_stuck():
    with pytest.raises(SimulationStuck, match="1 of 1 tasks wait for ever, from 2 ms on"):
        drive(workload([2.0], [5.0]), Scripted(), nobody)


def test_core_that_only_asks_for_turns_is_told_as_stuck():
    class Restless(Scripted):
        next_due_ms = 0

        def handle(self, events, at_ns):
            self.next_due_ms = at_ns // 1_000_000 + 3_600_000
            return []

    with pytest.raises(SimulationStuck):
        drive(workload([2.0], [5.0]), Restless(), nobody)


def test_task_is_taken_back_only_before_it_began():
    core = Scripted([], [send(0, "w0"), send(1, "w0")], [Retract("0", 1, "w0", ""), Retract("1", 1, "w0", "")])
    tasks = workload([0.0, 0.0, 1.0], [50.0, 5.0, 5.0], rtt_ms=2.0)
    with pytest.raises(SimulationStuck, match="2 of 3"):
        drive(tasks, core, nobody)
    facts = [(at_ms, event) for at_ms, events in core.heard for event in events]
    returned = [(at_ms, event) for at_ms, event in facts if isinstance(event, TaskReclaimed)]
    assert returned == [(3.0, TaskReclaimed("1", 1, "w0", Reason.RETRACTED, False, "r-1-1"))]
    assert (52.0, TaskFinished("0", 1, "w0", Outcome.SUCCEEDED, 50.0, 0.0, 0)) in facts


@pytest.mark.parametrize("preempt", [True, False])
def test_run_that_is_stopped_frees_its_slot_and_comes_to_nothing(preempt):
    core = Scripted([], [send(0, "w0")], [CancelRunning("0", 1, "w0", "", preempt), send(1, "w0")], [send(0, "w0", 2)])
    history = drive(workload([0.0, 10.0], [50.0, 5.0]), core, nobody)
    assert history.wasted[0] == (0, 0.0, 10.0)
    assert history.finished_ms[1] == 15.0
    assert history.given_up[0] is not preempt
    heard = [event for _, events in core.heard for event in events]
    if preempt:
        assert TaskReclaimed("0", 1, "w0", Reason.PREEMPTED, True, "r-0-1") in heard
        assert history.finished_ms[0] == 65.0
    else:
        assert TaskFinished("0", 1, "w0", Outcome.CANCELLED, 10.0, 0.0, 0) in heard


def test_dead_worker_is_suspected_then_lost_and_what_it_held_returns():
    core = Scripted([], [send(0, "w0"), send(1, "w0")], [], [send(0, "w1", 2), send(1, "w1", 2)])
    history = drive(workload([0.0, 0.0], [50.0, 5.0], slowness=(1.0, 1.0), faults=[Fault(20.0, 0)]), core, nobody)
    _, _, suspected, lost, *_ = core.heard
    assert suspected == (20.0 + SUSPECT_MS, [WorkerSuspected("w0")])
    assert lost == (
        20.0 + DEAD_MS,
        [
            TaskReclaimed("0", 1, "w0", Reason.WORKER_LOST, True, "r-0-1"),
            TaskReclaimed("1", 1, "w0", Reason.WORKER_LOST, False, "r-1-1"),
            WorkerLeft("w0", 1, True),
        ],
    )
    assert history.wasted == [(0, 0.0, 20.0)]
    assert history.finished_ms == [20.0 + DEAD_MS + 50.0, 20.0 + DEAD_MS + 55.0]
    assert history.up[0] == [(0.0, 20.0)]


def test_worker_that_comes_back_in_time_goes_on_with_its_inbox():
    core = Scripted([], [send(0, "w0"), send(1, "w0")], [send(0, "w0", 2)])
    faults = [Fault(20.0, 0), Fault(30.0, 0, joins=True)]
    history = drive(workload([0.0, 0.0], [50.0, 5.0], faults=faults), core, nobody)
    assert core.heard[2] == (
        30.0,
        [WorkerJoined("w0", 2, 1, ""), TaskReclaimed("0", 1, "w0", Reason.WORKER_RESTARTED, True, "r-0-1")],
    )
    assert history.finished_ms == [85.0, 35.0]
    assert history.up[0] == [(0.0, 20.0), (30.0, 85.0)]
