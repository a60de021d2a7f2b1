"""An engine whose turns are written down, as a journal has them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from nexus_sched.core.engine import Engine
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent, EpochBegan
from nexus_sched.model.journal import FORMAT, Turn
from nexus_sched.model.settings import EngineSettings
from nexus_sched.sim.drive import drive
from nexus_sched.sim.history import History
from nexus_sched.sim.policies import PREDICTORS
from nexus_sched.sim.workload import Workload
from nexus_sched.units import NS_PER_MS
from tests.unit.sim.workloads import nobody

EPOCH_MS = 1_700_000_000_000


class RecordedEngine:
    """A core, and the turns it took."""

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.engine = Engine(PREDICTORS, settings or EngineSettings())
        self.turns: list[Turn] = []
        self.handle([EpochBegan(1, "recorder", self.engine.settings)], EPOCH_MS * NS_PER_MS)

    @property
    def ready(self) -> bool:
        return self.engine.ready

    @property
    def next_due_ms(self) -> int | None:
        return self.engine.next_due_ms

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        effects = self.engine.handle(events, at_ns)
        self.turns.append(Turn(FORMAT, self.engine.seq, 1, at_ns, list(events), effects, {}))
        return effects


def in_epoch(workload: Workload) -> Workload:
    """The workload as on a real clock."""
    tasks = [structs.replace(task, arrived_at_ms=EPOCH_MS + task.arrived_at_ms) for task in workload.tasks]
    return structs.replace(workload, tasks=tasks, epoch_ms=EPOCH_MS)


def recorded_run(workload: Workload, settings: EngineSettings | None = None) -> tuple[list[Turn], History]:
    """The journal of a workload, and what happened."""
    core = RecordedEngine(settings or EngineSettings(round_trip_ms=workload.rtt_ms))
    history = drive(in_epoch(workload), core, nobody)
    return core.turns, history
