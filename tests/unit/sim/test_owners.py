"""Several schedulers of one pool: each has its own tasks and workers, and together they run everything."""

from __future__ import annotations

import pytest

from nexus_sched.core.engine import Engine
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.events import TaskSubmitted, WorkerJoined
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import PRIORITY_DEFAULT, Task
from nexus_sched.sim.drive import drive
from nexus_sched.sim.owners import Owners
from nexus_sched.sim.policies import make_core
from nexus_sched.sim.scenarios import Size, generate
from nexus_sched.sim.workload import FleetWorker
from tests.unit.sim.workloads import Scripted, nobody

WORKERS = [FleetWorker(f"w{index}") for index in range(6)]


def test_workers_are_dealt_in_turn_and_every_task_has_one_owner():
    cores = [Scripted(), Scripted(), Scripted()]
    owners = Owners(cores, WORKERS)
    joins = [WorkerJoined(worker.name, 1, 1, "") for worker in WORKERS]
    tasks = [TaskSubmitted(Task(str(number), "t", PRIORITY_DEFAULT, 0, 0), str(number)) for number in range(300)]
    owners.handle([*joins, *tasks], 0)
    heard = [events for core in cores for _, events in core.heard]
    assert [[each.worker for each in events[:2]] for events in heard] == [["w0", "w3"], ["w1", "w4"], ["w2", "w5"]]
    counts = [len(events) - 2 for events in heard]
    assert sum(counts) == 300
    assert min(counts) > 75


def test_owner_without_news_has_no_turn_unless_it_asked_for_one():
    class Waiting(Scripted):
        next_due_ms = 50

    cores = [Scripted(), Waiting()]
    owners = Owners(cores, WORKERS[:2])
    assert owners.next_due_ms == 50
    owners.handle([WorkerJoined("w0", 1, 1, "")], 0)
    owners.handle([], 50_000_000)
    assert [at_ms for at_ms, _ in cores[0].heard] == [0.0]
    assert [at_ms for at_ms, _ in cores[1].heard] == [50.0]


@pytest.mark.parametrize("policy", ["predictive", "oracle", "pull"])
@pytest.mark.parametrize("scenario", ["hetero", "churn"])
def test_every_task_ends_and_no_worker_serves_two_owners(policy: str, scenario: str):
    workload = generate(scenario, Size(workers=9, tasks=300, load=0.7), 2)
    core = make_core(policy, workload, 2, EngineSettings(), 3)
    assert isinstance(core, Owners)
    placed: dict[str, set[int]] = {}
    for owner, inner in enumerate(core._cores):
        _watched(inner, placed, owner)
    history = drive(workload, core, nobody)
    assert min(history.finished_ms) > 0.0
    assert [len(owners) for owners in placed.values()] == [1] * 9


def _watched(core: Engine, placed: dict[str, set[int]], owner: int) -> None:
    """Note which owner sends tasks to which worker."""
    handle = core.handle

    def noted(events, at_ns):
        effects = handle(events, at_ns)
        for effect in effects:
            if isinstance(effect, Dispatch):
                placed.setdefault(effect.decision.worker, set()).add(owner)
        return effects

    core.handle = noted


def test_one_owner_is_the_policy_itself():
    workload = generate("hetero", Size(workers=4, tasks=50, load=0.7), 1)
    assert isinstance(make_core("predictive", workload, 1, EngineSettings()), Engine)
