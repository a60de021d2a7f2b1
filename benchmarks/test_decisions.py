"""What a decision costs: predict, choose and book among 1000 workers, and the engine's whole share of a task's life.

The state is steady: whatever is booked is settled again, so that every round meets the same load.
"""

from __future__ import annotations

from collections import deque
from itertools import count

import msgspec
import pytest

from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.records import Booking, TaskRecord
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.events import AnyEvent, TaskFinished, TaskSubmitted, WorkerJoined
from nexus_sched.model.settings import CUSTOM, EngineSettings
from nexus_sched.model.task import TaskSpec
from nexus_sched.model.terms import Condition, Needs, Operator, Terms
from nexus_sched.runtime.inputs import events_of
from nexus_sched.runtime.ports import RawEntry
from nexus_sched.testing.builders import PREDICTORS, finished, submitted, task
from nexus_sched.units import NS_PER_MS

WORKERS = 1_000
TYPES = 20
BATCH = 256
AT_NS = 1_700_000_000_000 * NS_PER_MS


def led(
    busy_share: float = 0.5, *, workers: int = WORKERS, classes: int = 1, settings: EngineSettings | None = None
) -> Engine:
    """An engine with workers of four slots, about half of them taken, and twenty known types.

    The workers are of so many classes and in two zones; every other one offers memory.
    """
    engine = Engine(PREDICTORS, settings or EngineSettings())
    joins: list[AnyEvent] = [
        WorkerJoined(
            f"w{number}",
            1,
            4,
            f"class-{number % classes}",
            {"zone": "ab"[number % 2]},
            (),
            {"memory": 16.0} if number % 2 else {},
        )
        for number in range(workers)
    ]
    engine.handle(joins, AT_NS)
    types = [f"kind-{number}" for number in range(TYPES)]
    for start in range(0, int(4 * workers * busy_share), BATCH):
        names = range(start, start + BATCH)
        engine.handle([submitted(task(f"old{name}", types[name % TYPES])) for name in names], AT_NS)
        if start < 2 * BATCH:
            placed = [engine.tasks[f"old{name}"] for name in names]
            ends = [
                finished(each.task.id, each.worker, run_ms=10.0 + number % 50) for number, each in enumerate(placed)
            ]
            engine.handle(ends, AT_NS)
    return engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return led()


def test_predict(benchmark):
    """The moving average, which stands in whenever a better predictor fails."""
    predictor = EmaPredictor(EngineSettings())
    for run_ms in range(10, 60):
        predictor.learn(CompletedRun(task("t", "kind-3"), "w1", "", float(run_ms), 0))
    prediction = benchmark(predictor.predict, task("t", "kind-3"))
    assert prediction.basis == "type"


def decide(engine: Engine, record: TaskRecord, now_ms: int) -> None:
    """Predict, filter, score, select, say why, predict for the chosen one and book; settling it is counted too."""
    choice = engine.placement.place(record.task, now_ms)
    assert choice is not None
    engine.placement.reasons.of(record.task, choice, 500)
    refined = engine.forecasts.refine(record.task, choice.worker, choice.prediction, now_ms)
    assert refined is not None
    record.place = "i:" + choice.worker.name
    record.booking = Booking(refined.mean_ms)
    engine.roster.book(choice.worker, record)
    engine.roster.settle(record)


def test_decision(benchmark, engine: Engine):
    record = TaskRecord(task("t", "kind-3"), "q:5", "1-0")
    benchmark(decide, engine, record, AT_NS // NS_PER_MS)
    assert engine.forecasts.failures == 0


def test_decision_without_reasons(benchmark, engine: Engine):
    record = TaskRecord(task("t", "kind-3"), "q:5", "1-0")
    engine.placement.reasons.configure(EngineSettings(explain_top=0))
    benchmark(decide, engine, record, AT_NS // NS_PER_MS)
    engine.placement.reasons.configure(engine.settings)


ASKS = {
    "plain": None,
    "all_factors": Terms(
        needs=Needs((Condition("zone", Operator.IN, ("a", "b")), Condition("zone", Operator.IN, ("a",), 20.0))),
        affinity="model-7",
    ),
    "resources": Terms(needs=Needs((), (), (("memory", 4.0),))),
}


@pytest.mark.parametrize("asks", ASKS)
@pytest.mark.parametrize("workers", [1_000, 4_000])
def test_decision_four_classes(benchmark, workers: int, asks: str):
    """With a mean for each class; all factors: required and preferred labels, affinity, transfer, balance."""
    settings = EngineSettings(objective=CUSTOM, balance_ms=20.0, fit_ms=10.0, transfer_ms_per_mib=1.0)
    engine = led(workers=workers, classes=4, settings=EngineSettings() if asks == "plain" else settings)
    described = msgspec.structs.replace(task("t", "kind-3"), asks=ASKS[asks])
    for number in range(0, workers, workers // 4):
        engine.placement.scoring.sent(described, engine.roster.by_name[f"w{number}"], AT_NS // NS_PER_MS)
    benchmark(decide, engine, TaskRecord(described, "q:5", "1-0"), AT_NS // NS_PER_MS)
    assert engine.forecasts.failures == 0


def test_decision_saturated(benchmark):
    """One worker of four classes is open: only its class is asked about."""
    engine = led(classes=4)
    for worker in engine.roster.ring[1:]:
        engine.roster.table.set_accepting(worker.row, False)
    benchmark(decide, engine, TaskRecord(task("t", "kind-3"), "q:5", "1-0"), AT_NS // NS_PER_MS)
    assert engine.forecasts.failures == 0


def test_decision_single_calls(benchmark, engine: Engine):
    record = TaskRecord(task("t", "kind-3"), "q:5", "1-0")
    benchmark.pedantic(decide, args=(engine, record, AT_NS // NS_PER_MS), rounds=20_000, warmup_rounds=100)


def test_handle_one_task_a_turn(benchmark):
    """A turn with one end and one submission: all that the engine does for a task, and the turn around it."""
    engine = led()
    numbers = count()
    ready: deque[tuple[str, str]] = deque()

    def turn() -> None:
        name = f"t{next(numbers)}"
        events = [submitted(task(name, "kind-3"))]
        if ready:
            events.append(finished(*ready.popleft(), run_ms=20.0))
        (dispatch,) = (effect for effect in engine.handle(events, AT_NS) if type(effect) is Dispatch)
        ready.append((name, dispatch.decision.worker))

    benchmark(turn)


def test_handle_256_tasks_a_turn(benchmark):
    """The same in batches, as under load: 256 ends, 256 submissions and 256 decisions."""
    engine = led()
    numbers = count()
    ready: list[tuple[str, str]] = []

    def turn() -> None:
        events = [finished(name, worker, run_ms=20.0) for name, worker in ready]
        events += [submitted(task(f"t{next(numbers)}", "kind-3")) for _ in range(BATCH)]
        effects = engine.handle(events, AT_NS)
        ready[:] = [(each.decision.task_id, each.decision.worker) for each in effects if type(each) is Dispatch]

    benchmark(turn)
    assert len(ready) == BATCH


def test_256_completions(benchmark):
    """What 256 runs that end well cost in one turn in which nothing is placed: told, learned from, and let go."""
    engine = led()
    numbers, turns = count(), count(1)

    def placed() -> tuple[tuple[list[TaskFinished], int], dict[str, object]]:
        at_ns = AT_NS + next(turns) * 50 * NS_PER_MS
        names = [next(numbers) for _ in range(BATCH)]
        effects = engine.handle([submitted(task(f"t{name}", f"kind-{name % TYPES}")) for name in names], at_ns)
        told = [each.decision for each in effects if type(each) is Dispatch]
        run_ms = 20 * NS_PER_MS
        ends = [
            finished(each.task_id, each.worker, run_ms=(each.p50_ms or 20.0) * (0.8 + 0.4 * (index % 101) / 100.0))
            for index, each in enumerate(told)
        ]
        engine.handle([], at_ns + run_ms)
        return (ends, at_ns + run_ms), {}

    benchmark.pedantic(engine.handle, setup=placed, rounds=200, warmup_rounds=10)
    assert engine.counters["finished"] >= 210 * BATCH


def entries_of(spec: TaskSpec) -> list[RawEntry]:
    encoded = msgspec.msgpack.encode(spec)
    return [
        [b"1700000000000-%d" % each, [b"i", b"task-%d" % each, b"m", encoded, b"b", b"12"]] for each in range(BATCH)
    ]


def test_read_256_submissions(benchmark):
    """From raw stream entries to events, with every check of the border."""
    events = benchmark(events_of, "q:5", entries_of(TaskSpec(type="kind-3", hint_ms=12.5)))
    assert all(type(event) is TaskSubmitted and event.task.asks is None for event in events)


def test_read_256_demanding_submissions(benchmark):
    """The same for tasks that ask for all there is."""
    spec = TaskSpec(
        type="kind-3",
        requires=(Condition("zone", Operator.IN, ("a", "b")), Condition("gpu", Operator.EXISTS)),
        tolerates=("spot",),
        resources={"gpu": 1.0, "memory": 2.0**33},
        tenant="acme",
        key="account-7",
        affinity="model-1",
        deadline_ms=60_000.0,
    )
    events = benchmark(events_of, "q:5", entries_of(spec))
    assert all(type(event) is TaskSubmitted and event.task.asks is not None for event in events)
