"""Runs that nobody believes yet: they wait here, by type, until other workers' runs confirm them.

Laws: a run that waits teaches nothing, moves no estimate and ages no history. It is heard, though: who has run like
that supports the next one that does (`HistoryTable.testimony`), so that a change of regime is recognised by the first
few workers that report it, and what they had reported is then taught in order. Bounded by type, by worker and by
age: a liar fills only places of its own.
"""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.task import DURATION_MS_MAX, PAYLOAD_BYTES_MAX

HELD_MAX = 16  # runs of one type; the one that waits longest gives way
HELD_BY_WORKER_MAX = 4
WAIT_RUNS_MAX = 64  # runs that the type may learn meanwhile; then it has moved on without
TYPES_MAX = 256  # with runs that wait; the one that has waited longest gives way


class HeldRun(Struct, array_like=True, frozen=True, gc=False):
    """What is needed to teach a run later. `samples`: runs the type had learned when it came."""

    payload_bytes: int
    worker_class: str
    worker: str
    run_ms: float
    samples: int

    @property
    def told(self) -> tuple[int, str, str, float]:
        """As `HistoryTable.testimony` wants to hear it."""
        return self.payload_bytes, self.worker_class, self.worker, self.run_ms


class Quarantine:
    """Waiting runs by type; most types have none and take no memory."""

    def __init__(self) -> None:
        self.held: dict[str, list[HeldRun]] = {}  # the type that got its first one longest ago first

    def hold(self, task_type: str, run: HeldRun) -> None:
        """Let a run wait."""
        if task_type not in self.held and len(self.held) >= TYPES_MAX:
            del self.held[next(iter(self.held))]
        waiting = self.held.setdefault(task_type, [])
        own = [each for each in waiting if each.worker == run.worker]
        if len(own) >= HELD_BY_WORKER_MAX:
            waiting.remove(own[0])
        elif len(waiting) >= HELD_MAX:
            del waiting[0]
        waiting.append(run)

    def fresh(self, task_type: str, samples: int) -> list[HeldRun]:
        """Runs of a type that wait, but for those without which it has moved on."""
        return [each for each in self.held[task_type] if samples - each.samples <= WAIT_RUNS_MAX]

    def keep(self, task_type: str, waiting: list[HeldRun]) -> None:
        """Let only these wait on."""
        if waiting:
            self.held[task_type] = waiting
        else:
            del self.held[task_type]


def check_held(held: dict[str, list[HeldRun]]) -> None:
    """Raise `SnapshotUnreadable` for runs that could not have been let wait."""
    if len(held) > TYPES_MAX:
        raise SnapshotUnreadable(f"runs of {len(held)} types wait, of at most {TYPES_MAX}")
    for task_type, waiting in held.items():
        if not 1 <= len(waiting) <= HELD_MAX:
            raise SnapshotUnreadable(f"{len(waiting)} runs of type {task_type!r} cannot wait")
        for each in waiting:
            sound = 0.0 <= each.run_ms <= DURATION_MS_MAX and 0 <= each.payload_bytes <= PAYLOAD_BYTES_MAX
            if not sound or each.samples < 0 or not each.worker:
                raise SnapshotUnreadable(f"a run of type {task_type!r} waits that cannot be")
