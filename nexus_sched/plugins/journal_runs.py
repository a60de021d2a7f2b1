"""Finished runs out of a shard's store: from its journal, and from what a predictor in its snapshot has collected.

Law: reads only. Only successful runs with a service time are training material. A journal is cut behind the second
newest snapshot, so it holds the last minutes; what `boosting` collected, active or in the shadow, reaches further
back.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec

from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.events import AnyEvent, TaskFinished, TaskSubmitted, WorkerJoined
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.task import Task
from nexus_sched.plugins.boosting import collected_in
from nexus_sched.plugins.runs import TrainingRun, run_of
from nexus_sched.runtime.ports import LeaderStore
from nexus_sched.runtime.recovery import JOURNAL_PAGE, Checkpoint
from nexus_sched.units import NS_PER_MS


class JournalRuns:
    """Puts runs together from the events of a journal: who submitted, who ran, how long. Every run counts once."""

    def __init__(self) -> None:
        self._runs: dict[TrainingRun, None] = {}
        self._tasks: dict[str, Task] = {}
        self._classes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def runs(self) -> list[TrainingRun]:
        """What was found, in the order of the ends."""
        return sorted(self._runs, key=lambda run: run.ended_at_ms)

    def begin(self, checkpoint: Checkpoint) -> None:
        """Take over live tasks and workers, and go on behind it."""
        engine = checkpoint.engine
        self._tasks = {record.task.id: record.task for record in engine.tasks}
        self._classes = {worker.name: worker.worker_class for worker in engine.workers}

    def collect(self, checkpoint: Checkpoint) -> None:
        """Take over the runs that a boosted predictor has kept."""
        forecasts = checkpoint.engine.forecasts
        for name, blob in (forecasts.active, forecasts.shadow):
            if name.partition("-")[0] == "boosting":
                self._runs.update(dict.fromkeys(collected_in(blob)))

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
                run = run_of(CompletedRun(task, event.worker, worker_class, event.run_ms, at_ms))
                self._runs[run] = None


async def runs_from_store(store: LeaderStore, told: Callable[[int], None] = lambda _: None) -> list[TrainingRun]:
    """The runs that a shard still knows of. Raises `SnapshotUnreadable`."""
    found = JournalRuns()
    kept = [_checkpoint(blob) for _, blob in await store.snapshots()]
    if kept:
        found.collect(kept[0])
    first = await store.journal(0, 1)
    after = 0
    if kept and (not first or first[0][0] != 1):
        found.begin(kept[-1])
        after = kept[-1].seq
    while page := await store.journal(after, JOURNAL_PAGE):
        for _, blob in page:
            found.take(decode_turn(blob))
        after = page[-1][0]
        told(len(found))
    return found.runs()


def _checkpoint(blob: bytes) -> Checkpoint:
    try:
        return msgspec.msgpack.decode(zlib.decompress(blob), type=Checkpoint)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotUnreadable(f"checkpoint cannot be read: {error}") from error
