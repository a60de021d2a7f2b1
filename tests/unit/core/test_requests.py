"""What a type was measured to use becomes its default request: only if switched on, and only where it is offered."""

from __future__ import annotations

import pytest

from nexus_sched.core import snapshot
from nexus_sched.core.requests import MEMORY_STEPS, RUNS_MIN, TYPES_MAX, Requests, rounded_up
from nexus_sched.model.events import TaskFinished, WorkerJoined
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Needs, Terms
from nexus_sched.testing.builders import PREDICTORS, Bench, submitted, task

GIB = 2.0**30


def measured(task_id: str, cpu_ms: float = 150.0, memory_bytes: int = 2**30, worker: str = "w1") -> TaskFinished:
    return TaskFinished(task_id, 1, worker, Outcome.SUCCEEDED, 100.0, 0.0, 0, cpu_ms, memory_bytes)


def learned(runs: int = RUNS_MIN, **usage: float) -> Requests:
    requests = Requests()
    for _ in range(runs):
        requests.learn("kind", measured("t", **usage))  # type: ignore[arg-type]  # names of two numbers
    return requests


def amounts(of: Task) -> dict[str, float]:
    return dict(of.terms.needs.resources)


def test_usage_becomes_the_request_of_tasks_that_name_none():
    asked = amounts(learned(40).completed(task(), {"cpu", "memory"}))
    assert asked["cpu"] == 1.5
    assert GIB <= asked["memory"] <= GIB * (1.0 + 1.0 / MEMORY_STEPS)


def test_only_what_somebody_offers_is_asked_for():
    assert set(amounts(learned(40).completed(task(), {"memory"}))) == {"memory"}
    assert learned(40).completed(task(), ()) == task()


def test_own_request_of_a_task_stands():
    own = Task("t1", "kind", 5, 0, 0, asks=Terms(needs=Needs(resources=(("gpu", 1.0),))))
    assert learned(40).completed(own, {"cpu", "memory", "gpu"}) is own


@pytest.mark.parametrize(("runs", "usage"), [(RUNS_MIN - 1, {}), (40, {"cpu_ms": 0.0, "memory_bytes": 0})])
def test_nothing_is_asked_for_on_thin_evidence(runs: int, usage: dict[str, float]):
    assert learned(runs, **usage).completed(task(), {"cpu", "memory"}) == task()


def test_estimate_stays_near_the_most_that_runs_use():
    requests = Requests()
    for run in range(200):
        requests.learn("kind", measured("t", memory_bytes=2**31 if run % 10 == 0 else 2**28))
    assert 0.5 * 2**31 < requests.usages["kind"].memory_bytes <= 2**31


def test_amounts_are_few_and_never_less_than_measured():
    steps = {rounded_up(1.0 + index / 1_000.0) for index in range(1_000)}
    assert len(steps) <= MEMORY_STEPS + 1
    for amount in (1e-9, 0.3, 1.0, 1.01, 123456.7, 2.0**40 + 1.0):
        assert amount <= rounded_up(amount) <= amount * (1.0 + 1.0 / MEMORY_STEPS)
    assert rounded_up(0.0) == 0.0


def test_types_are_bounded():
    requests = Requests()
    for index in range(TYPES_MAX + 10):
        requests.learn(f"kind-{index}", measured("t"))
    assert len(requests.usages) == TYPES_MAX
    assert "kind-0" not in requests.usages


def test_engine_places_by_what_it_learned_and_goes_on_alike_after_a_snapshot():
    bench = Bench(EngineSettings(learn_requests=True, prefetch=8))
    small = WorkerJoined("small", 1, 8, "", {}, (), {"memory": 1.5 * GIB})
    large = WorkerJoined("large", 1, 8, "", {}, (), {"memory": 64.0 * GIB})
    bench.turn(small)
    for index in range(2 * RUNS_MIN):
        assert bench.dispatched(submitted(f"first{index}")) == [(f"first{index}", "small")]
        bench.turn(measured(f"first{index}", worker="small"), after_ms=100)
    assert bench.dispatched(submitted("a"), submitted("b")) == [("a", "small")]  # two do not fit into it
    other = Bench(EngineSettings(learn_requests=True, prefetch=8))
    other.engine = snapshot.restore(snapshot.take(bench.engine), PREDICTORS)
    other.now_ms = bench.now_ms
    for each in (bench, other):
        assert each.dispatched(large) == [("b", "large")]
    assert other.engine.digest() == bench.engine.digest()


def test_engine_that_was_not_told_to_asks_for_nothing():
    bench = Bench(EngineSettings(prefetch=8))
    bench.turn(WorkerJoined("small", 1, 8, "", {}, (), {"memory": 1.5 * GIB}))
    for index in range(2 * RUNS_MIN):
        bench.turn(submitted(f"first{index}"))
        bench.turn(measured(f"first{index}", worker="small"), after_ms=100)
    assert len(bench.dispatched(submitted("a"), submitted("b"), submitted("c"))) == 3
