"""What really happened, whatever anybody believes: acknowledgements, executions, accepted results, turns.

It is written down where it happens, in nobody's memory but ours, so a crash does not erase it. A store that goes back
in time takes its own part of the history back: turns and acceptances behind that instant never happened, and what the
store has forgotten about a task is forgiven from then on.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec import Struct

from nexus_sched.adapters.memory.shard import FINISHED, TaskState
from nexus_sched.model.journal import Turn


class Execution(Struct):
    """One time a task's function was entered."""

    task_id: str
    attempt: int
    process: str
    worker: str
    began_s: float
    copied: bool = False
    ended_s: float | None = None
    outcome: str = ""


class History:
    """The truth about one story."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, float] = {}  # task id -> when its client knew
        self.executions: dict[str, list[Execution]] = {}
        self.claims: dict[str, set[str]] = {}  # task -> processes that were allowed to start it
        self.accepted: Counter[str] = Counter()  # results, by task
        self.turns: dict[int, list[Turn]] = {}  # of each shard; turn `n` is at index `n - 1`
        self.forgiven: set[str] = set()  # tasks of which the store has forgotten something
        self.unheard: set[tuple[str, str, int]] = set()  # process, task, attempt whose report the store had no use for
        self.led: set[tuple[str, int]] = set()  # owners of leases under which a turn was written, and in which shard
        self.redriven: set[str] = set()
        self.disturbed: dict[str, list[str]] = {}  # process -> what was done to it
        self.concluded: Counter[str] = Counter()  # how tasks ended, as their clients heard it
        self.faults: Counter[str] = Counter()
        self.reruns = 0

    def disturb(self, process: str, how: str) -> None:
        """Something was done to a process."""
        self.disturbed.setdefault(process, []).append(how)

    def of_shard(self, number: int) -> list[Turn]:
        """The turns of a shard."""
        return self.turns.setdefault(number, [])

    def went_back(self, number: int, now: dict[str, TaskState], then: dict[str, TaskState], seq: int) -> None:
        """A shard has forgotten what lies between the tasks of `now` and those of `then`."""
        for task_id, task in now.items():
            before = then.get(task_id)
            if before is None or _known(task) != _known(before):
                self.forgiven.add(task_id)
                if before is None or before.state != FINISHED:
                    self.accepted[task_id] = 0
        del self.of_shard(number)[seq:]

    def ran(self, task_id: str) -> list[Execution]:
        """The executions of a task, as they began."""
        return self.executions.get(task_id, [])


def _known(task: TaskState) -> tuple[Any, ...]:
    return task.state, task.worker, task.attempt, task.attempt_min, task.outcome, task.redriven
