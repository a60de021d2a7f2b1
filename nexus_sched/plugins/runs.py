"""Finished runs to train from: from a shard's journal, or as a predictor was told of them.

Law: only successful runs with a service time are training material, in the order of their ends.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.events import AnyEvent, TaskFinished, TaskSubmitted, WorkerJoined
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.task import Task
from nexus_sched.runtime.ports import LeaderStore
from nexus_sched.runtime.recovery import JOURNAL_PAGE, Checkpoint
from nexus_sched.units import NS_PER_MS

Told = Callable[[int], None]  # how many runs there are so far


class TrainingRun(Struct, frozen=True, array_like=True, gc=False):
    """One successful run. Instants are milliseconds of any one clock."""

    task_type: str
    payload_bytes: float
    worker: str
    worker_class: str
    run_ms: float
    arrived_at_ms: int
    ended_at_ms: int


def run_of(run: CompletedRun) -> TrainingRun:
    """A completed run as a predictor is told of it."""
    task = run.task
    return TrainingRun(
        task.type,
        float(task.payload_bytes),
        run.worker,
        run.worker_class,
        run.run_ms,
        task.arrived_at_ms,
        run.at_ms,
    )


class JournalRuns:
    """Puts runs together from the events of a journal: who submitted, who ran, how long."""

    def __init__(self) -> None:
        self.runs: list[TrainingRun] = []
        self._tasks: dict[str, Task] = {}
        self._classes: dict[str, str] = {}

    def begin(self, blob: bytes) -> int:
        """Take over live tasks and workers of a stored checkpoint; gives its sequence. Raises `SnapshotUnreadable`."""
        try:
            checkpoint = msgspec.msgpack.decode(zlib.decompress(blob), type=Checkpoint)
        except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotUnreadable(f"checkpoint cannot be read: {error}") from error
        self._tasks = {record.task.id: record.task for record in checkpoint.engine.tasks}
        self._classes = {worker.name: worker.worker_class for worker in checkpoint.engine.workers}
        return checkpoint.seq

    def take(self, turn: Turn) -> None:
        """Take in what happened in a turn."""
        for event in turn.events:
            self._take(event, turn.at_ns // NS_PER_MS)

    def _take(self, event: AnyEvent, at_ms: int) -> None:
        if isinstance(event, TaskSubmitted):
            self._tasks[event.task.id] = event.task
        elif isinstance(event, WorkerJoined):
            self._classes[event.worker] = event.worker_class
        elif isinstance(event, TaskFinished):
            task = self._tasks.pop(event.task_id, None)
            if task is not None and event.outcome is Outcome.SUCCEEDED and event.run_ms > 0.0:
                worker_class = self._classes.get(event.worker, "")
                self.runs.append(run_of(CompletedRun(task, event.worker, worker_class, event.run_ms, at_ms)))


async def runs_from_journal(store: LeaderStore, told: Told = lambda _: None) -> list[TrainingRun]:
    """The runs that a shard's journal still holds, behind its oldest snapshot. Reads only."""
    found = JournalRuns()
    kept = await store.snapshots()
    first = await store.journal(0, 1)
    after = found.begin(kept[-1][1]) if kept and first and first[0][0] != 1 else 0
    while page := await store.journal(after, JOURNAL_PAGE):
        for _, blob in page:
            found.take(decode_turn(blob))
        after = page[-1][0]
        told(len(found.runs))
    return found.runs
