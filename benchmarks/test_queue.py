"""What the central queue costs: a decision with much and little behind it, a completion, many tenants and limits.

The state is steady: what is handed out ends in the next turn, and as much arrives as left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

import pytest

from nexus_sched.core.engine import Engine
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.settings import EngineSettings, Limit
from nexus_sched.model.task import Task
from nexus_sched.model.terms import Terms
from nexus_sched.testing.builders import PREDICTORS, finished, joined, submitted, task
from nexus_sched.units import NS_PER_MS

WORKERS = 1_000
TYPES = 20
BATCH = 256
AT_MS = 1_700_000_000_000
SHORT, LONG = 1_000, 100_000

Describe = Callable[[int], Task]


def plain(number: int) -> Task:
    return task(f"t{number}", f"kind-{number % TYPES}", arrived_at_ms=AT_MS + number // 10)


def owned(number: int) -> Task:
    """The same of a hundred tenants, each with a limit that is never reached."""
    return task(
        f"t{number}",
        f"kind-{number % TYPES}",
        arrived_at_ms=AT_MS + number // 10,
        asks=Terms(tenant=f"tenant-{number % 100}"),
    )


class Busy:
    """A fleet that is full, with some tasks waiting."""

    def __init__(self, waiting: int, describe: Describe, settings: EngineSettings) -> None:
        self.engine = Engine(PREDICTORS, settings)
        self.describe = describe
        self.numbers = count()
        self.placed: deque[tuple[str, str]] = deque()
        self.at_ns = AT_MS * NS_PER_MS
        self.handle([joined(f"w{number}", slots=4) for number in range(WORKERS)])
        self.arrive(BATCH)
        self.end(BATCH)
        while self.engine.roster.table.open_count or len(self.engine.backlog) < waiting:
            self.arrive(BATCH)

    def handle(self, events: list) -> None:
        for effect in self.engine.handle(events, self.at_ns):
            if type(effect) is Dispatch:
                self.placed.append((effect.decision.task_id, effect.decision.worker))

    def ends(self, some: int) -> list:
        return [finished(*self.placed.popleft(), run_ms=20.0 + each % 50) for each in range(some)]

    def end(self, some: int) -> None:
        self.handle(self.ends(some))

    def arrive(self, some: int) -> None:
        self.handle([submitted(self.describe(next(self.numbers))) for _ in range(some)])

    def events(self) -> tuple[tuple[list], dict]:
        """As many ends as arrivals: the arguments of a turn."""
        arrivals = [submitted(self.describe(next(self.numbers))) for _ in range(BATCH)]
        return (self.ends(BATCH) + arrivals,), {}


@pytest.mark.parametrize("waiting", [SHORT, LONG], ids=["short", "long"])
def test_turn_of_256(benchmark, waiting: int):
    """256 ends, 256 arrivals and 256 decisions."""
    busy = Busy(waiting, plain, EngineSettings())
    benchmark.pedantic(busy.handle, setup=busy.events, rounds=200)
    assert len(busy.engine.backlog) >= waiting


def test_turn_of_256_with_tenants_and_limits(benchmark):
    settings = EngineSettings(limits=(Limit("tenant", "*", concurrency=10_000),))
    busy = Busy(LONG, owned, settings)
    benchmark.pedantic(busy.handle, setup=busy.events, rounds=100)


def test_256_completions(benchmark):
    """Only ends, with nothing that could take the free slots."""
    busy = Busy(0, plain, EngineSettings())

    def ends() -> tuple[tuple[list], dict]:
        while len(busy.placed) < BATCH:
            busy.arrive(BATCH)
        return (busy.ends(BATCH),), {}

    while len(busy.engine.backlog):
        busy.end(BATCH)
    benchmark.pedantic(busy.handle, setup=ends, rounds=200)
