"""What is known of the tasks of one half, from four witnesses that do not ask each other.

The submitter knows when it submitted; the worker processes say when a run began and ended, in a stream of
their own that the scheduler never sees; the journal holds the decisions; the store's records and
announcements hold what was accepted. `measure` draws its conclusions from them.

All instants are nanoseconds of the machine's monotonic clock, which its processes share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from nexus_sched.demo.workload import PlannedTask
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.outcome import Outcome
from nexus_sched.runtime.ports import TaskRecord


class Sighting(Struct, frozen=True, gc=False):
    """One thing a worker process did, in its own words."""

    task_id: str
    worker: str
    began: bool  # else: ended
    at_ns: int


class Trail(Struct):
    """Everything seen of one task."""

    task: PlannedTask
    submitted_ns: int = 0
    begun: int = 0  # runs begun, whoever ran them
    worker: str = ""  # of the first run, like the two instants
    begun_ns: int = 0
    ended_ns: int = 0  # 0: no run was seen to end
    announced: int = 0  # ends announced to the submitter
    predicted_ms: float | None = None  # median at its first placement
    placed: bool = False
    finished: bool = False  # by the store's record

    @property
    def ran(self) -> bool:
        """Whether a run was seen from its begin to its end."""
        return self.begun_ns > 0 and self.ended_ns > 0


class Ledger:
    """The trails of one half, by task id, and how far it is."""

    def __init__(self, planned: Mapping[str, PlannedTask]) -> None:
        self.trails = {task_id: Trail(task) for task_id, task in planned.items()}
        self.policies: dict[str, int] = {}  # policy -> decisions
        self.submitted = 0
        self.begun = 0
        self.ended = 0

    def note_submitted(self, task_ids: Iterable[str], at_ns: int) -> None:
        """The submitter is about to hand over these tasks."""
        for task_id in task_ids:
            self.trails[task_id].submitted_ns = at_ns
            self.submitted += 1

    def note_sighting(self, seen: Sighting) -> None:
        """A worker process began or ended a run."""
        trail = self.trails.get(seen.task_id)
        if trail is None:
            return
        if seen.began:
            trail.begun += 1
            if trail.begun == 1:
                trail.worker, trail.begun_ns = seen.worker, seen.at_ns
                self.begun += 1
        elif trail.ended_ns == 0 and trail.worker == seen.worker:
            trail.ended_ns = seen.at_ns
            self.ended += 1

    def note_decision(self, decision: SchedulingDecision) -> None:
        """The scheduler placed a task."""
        trail = self.trails.get(decision.task_id)
        if trail is None:
            return
        self.policies[decision.policy] = self.policies.get(decision.policy, 0) + 1
        if not trail.placed:
            trail.placed, trail.predicted_ms = True, decision.p50_ms

    def note_announced(self, task_id: str) -> None:
        """The store announced an end to the submitter."""
        trail = self.trails.get(task_id)
        if trail is not None:
            trail.announced += 1

    def note_record(self, task_id: str, record: TaskRecord | None) -> None:
        """Where the store says the task stands, after everything."""
        self.trails[task_id].finished = (
            record is not None and record.state == "F" and record.outcome == Outcome.SUCCEEDED.value
        )

    @property
    def waiting(self) -> int:
        """Tasks submitted of which no run has begun."""
        return self.submitted - self.begun

    @property
    def complete(self) -> bool:
        """Whether every planned task was seen to end."""
        return self.ended == len(self.trails)
