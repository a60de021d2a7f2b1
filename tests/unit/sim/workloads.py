"""Small workloads written by hand, and cores that do as they are told."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent
from nexus_sched.model.task import PRIORITY_DEFAULT, Task
from nexus_sched.sim.matrix import Matrix
from nexus_sched.sim.workload import Fault, FleetWorker, Spell, Truth, Warmth, Workload


def workload(
    arrivals_ms: Sequence[float],
    durations_ms: Sequence[float],
    *,
    slowness: Sequence[float] = (1.0,),
    slots: int = 1,
    rtt_ms: float = 0.0,
    types: Sequence[str] | None = None,
    faults: Sequence[Fault] = (),
    spells: Sequence[Spell] = (),
    warmth: Warmth | None = None,
    tasks: Sequence[Task] | None = None,
) -> Workload:
    """Tasks with these arrivals and durations; one worker for each slowness."""
    names = list(types or ["t"] * len(arrivals_ms))
    known = list(dict.fromkeys(names))
    workers = [FleetWorker(f"w{index}", slots, slowness=each) for index, each in enumerate(slowness)]
    made = [
        Task(str(number), names[number], PRIORITY_DEFAULT, 0, int(arrival_ms))
        for number, arrival_ms in enumerate(arrivals_ms)
    ]
    count = len(arrivals_ms)
    return Workload(
        scenario="by hand",
        tasks=list(tasks or made),
        arrivals_ms=list(arrivals_ms),
        types=known,
        type_of=[known.index(name) for name in names],
        predictable=[True] * len(known),
        workers=workers,
        truth=Truth(np.ones((1, 1)), np.zeros(count, dtype=np.int64), np.array(durations_ms, float), workers, spells),
        faults=faults,
        warmth=warmth,
        rtt_ms=rtt_ms,
    )


def nobody(done: int) -> None:
    """Takes reports of progress."""


class Scripted:
    """A core that answers the n-th turn with the n-th list of effects, and keeps what it heard."""

    ready = False
    next_due_ms: int | None = None

    def __init__(self, *answers: Sequence[AnyEffect]) -> None:
        self._answers = [list(answer) for answer in answers]
        self.heard: list[tuple[float, list[AnyEvent]]] = []

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        self.heard.append((at_ns / 1e6, list(events)))
        return self._answers.pop(0) if self._answers else []


def write_matrix(matrix: Matrix, path: Path) -> None:
    """The matrix in the long form that `read_matrix` takes."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("instance", "task_type", "payload_size", "worker_class", "duration_s"))
        for number, durations_ms in enumerate(matrix.durations_ms.tolist()):
            kind, size = matrix.types[matrix.type_of[number]], int(matrix.payload_bytes[number])
            for name, duration_ms in zip(matrix.classes, durations_ms, strict=True):
                rows.writerow((f"instance-{number}", kind, size, name, repr(duration_ms / 1_000.0)))
