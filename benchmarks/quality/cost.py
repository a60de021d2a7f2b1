"""What one decision costs with every factor of the score on: predict, filter, score, select, book.

The least of several rounds is taken: whatever else runs on the machine only ever adds.
"""

from __future__ import annotations

from time import perf_counter_ns

from nexus_sched.core.engine import Engine
from nexus_sched.core.records import Booking, TaskRecord
from nexus_sched.model.events import WorkerJoined
from nexus_sched.model.settings import CUSTOM, EngineSettings
from nexus_sched.model.terms import Condition, Needs, Operator, Terms
from nexus_sched.testing.builders import PREDICTORS, finished, submitted, task
from nexus_sched.units import NS_PER_MS

ROUNDS, DECISIONS = 40, 250
TYPES = 20
AT_NS = 1_700_000_000_000 * NS_PER_MS
NS_PER_US = 1_000

ALL_ON = EngineSettings(
    objective=CUSTOM, balance_ms=5.0, fit_ms=2.0, transfer_ms_per_mib=8.0, affinity_ms=50.0, explore_share=0.01
)
ASKS = Terms(
    needs=Needs((Condition("zone", Operator.IN, ("a", "b")),), ("spot",), (("cpu", 1.0),)),
    affinity="model-1",
)


def decision_us(workers: int) -> float:
    """Microseconds of a decision among so many workers, half of whose slots are taken."""
    engine = _led(workers)
    record = TaskRecord(task("asks", "kind-3", asks=ASKS), "q:5", "1-0")
    best_ns = min(_round_ns(engine, record) for _ in range(ROUNDS))
    return best_ns / DECISIONS / NS_PER_US


def _led(workers: int) -> Engine:
    engine = Engine(PREDICTORS, ALL_ON)
    offers = [
        WorkerJoined(f"w{number}", 1, 4, "", {"zone": "abc"[number % 3]}, (), {"cpu": 8.0}) for number in range(workers)
    ]
    engine.handle(offers, AT_NS)
    kinds = [f"kind-{number % TYPES}" for number in range(2 * workers)]
    engine.handle([submitted(task(f"old{number}", kind)) for number, kind in enumerate(kinds)], AT_NS)
    while engine.ready:
        engine.handle([], AT_NS)
    placed = [engine.tasks[f"old{number}"] for number in range(4 * TYPES)]
    ends = [finished(each.task.id, each.worker, run_ms=10.0 + place % 50) for place, each in enumerate(placed)]
    engine.handle(ends, AT_NS)
    return engine


def _round_ns(engine: Engine, record: TaskRecord) -> int:
    now_ms = AT_NS // NS_PER_MS
    began_ns = perf_counter_ns()
    for _ in range(DECISIONS):
        choice = engine.placement.place(record.task, now_ms)
        assert choice is not None, "half of the slots are free"
        refined = engine.forecasts.refine(record.task, choice.worker, choice.prediction, now_ms)
        assert refined is not None, "the type has run"
        record.place = "i:" + choice.worker.name
        record.booking = Booking(refined.mean_ms)
        engine.roster.book(choice.worker, record)
        engine.roster.settle(record)
    return perf_counter_ns() - began_ns
