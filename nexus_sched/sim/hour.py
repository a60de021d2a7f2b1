"""What a journal says of an hour: the tasks that came and how long they ran, the workers, and what was known before.

Laws
* Only what happened is taken over: submissions with all they ask for, workers as they came, left and died, and the
  service time of each task's last run. A task that had not ended at the end of the span is left out, and counted.
* What waited or ran when the span began arrives at its first instant.
* Ends are heard half a round trip after they happen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, structs

from nexus_sched.core.forecasts import ForecastState
from nexus_sched.core.snapshot import EngineSnapshot
from nexus_sched.model.effects import AnyEffect, CancelQueued, DeadLetter, Dispatch, Estimated
from nexus_sched.model.eta import Eta
from nexus_sched.model.events import (
    AnyEvent,
    EpochBegan,
    SettingsChanged,
    TaskFinished,
    TaskSubmitted,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
)
from nexus_sched.model.journal import Turn
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.sim.fleet import DEAD_MS
from nexus_sched.sim.workload import Fault, FleetWorker
from nexus_sched.units import NS_PER_MS

RAN = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT)  # a run of these lengths took its worker's time


class Done(Struct):
    """One task that ended in the span. Instants in milliseconds from its beginning."""

    task: Task
    arrived_ms: float
    worker: int = -1
    started_ms: float = -1.0
    finished_ms: float = -1.0
    run_ms: float = -1.0
    predicted_ms: float = -1.0  # p50 at its last dispatch
    eta: Eta | None = None  # the first that was told


class Hour(Struct):
    """A recorded span."""

    from_ms: int  # on the store's clock
    until_ms: int
    settings: EngineSettings
    tasks: list[Done]  # in the order of arrival
    workers: list[FleetWorker]  # in the order of their appearance; slowness is not known yet
    faults: list[Fault]
    knowledge: ForecastState
    left_out: dict[str, int]  # why -> tasks


def read_hour(before: EngineSnapshot, turns: Sequence[Turn]) -> Hour:
    """Put an hour together from the state before it and its turns, of which there must be one."""
    return _Reader(before, turns).read()


class _Reader:
    def __init__(self, before: EngineSnapshot, turns: Sequence[Turn]) -> None:
        self._before, self._turns = before, turns
        self._from_ms = turns[0].at_ns // NS_PER_MS
        self._settings: EngineSettings | None = None
        if before.epoch:
            self._settings = structs.replace(before.settings, mode=before.mode)
        self._live = {record.task.id: Done(record.task, 0.0) for record in before.tasks}
        self._done: list[Done] = []
        self._left_out: Counter[str] = Counter()
        self._workers: list[FleetWorker] = []
        self._indexes: dict[str, int] = {}
        self._leaving: set[int] = set()
        self._faults: list[Fault] = []
        for worker in before.workers:
            self._add(
                FleetWorker(
                    worker.name,
                    worker.slots,
                    worker.worker_class,
                    labels=worker.labels,
                    taints=worker.taints,
                    resources=worker.resources,
                )
            )

    def read(self) -> Hour:
        for turn in self._turns:
            at_ms = turn.at_ns // NS_PER_MS - self._from_ms
            for event in turn.events:
                self._hear(event, float(at_ms))
            for effect in turn.effects:
                self._see(effect)
        settings = self._settings or self._before.settings
        self._left_out["had not ended"] += len(self._live)
        return Hour(
            from_ms=self._from_ms,
            until_ms=self._turns[-1].at_ns // NS_PER_MS,
            settings=settings,
            tasks=sorted(self._done, key=lambda done: done.arrived_ms),
            workers=self._workers,
            faults=self._faults,
            knowledge=self._before.forecasts,
            left_out={why: count for why, count in self._left_out.items() if count},
        )

    def _hear(self, event: AnyEvent, at_ms: float) -> None:
        if isinstance(event, TaskSubmitted):
            arrived_ms = min(max(0.0, float(event.task.arrived_at_ms - self._from_ms)), at_ms)
            self._live[event.task.id] = Done(event.task, arrived_ms)
        elif isinstance(event, TaskFinished):
            self._finished(event, at_ms)
        elif isinstance(event, WorkerJoined):
            self._joined(event, at_ms)
        elif isinstance(event, WorkerReported) and event.draining:
            self._leaves(event.worker, at_ms)
        elif isinstance(event, WorkerLeft):
            self._left(event, at_ms)
        elif isinstance(event, EpochBegan | SettingsChanged) and self._settings is None:
            self._settings = event.settings

    def _see(self, effect: AnyEffect) -> None:
        if isinstance(effect, Dispatch) and (done := self._live.get(effect.decision.task_id)):
            done.predicted_ms = -1.0 if effect.decision.p50_ms is None else effect.decision.p50_ms
        elif isinstance(effect, Estimated) and (done := self._live.get(effect.task_id)):
            done.eta = done.eta or effect.eta
        elif isinstance(effect, DeadLetter | CancelQueued) and self._live.pop(effect.task_id, None) is not None:
            self._left_out["ended without a run"] += 1

    def _finished(self, event: TaskFinished, at_ms: float) -> None:
        done = self._live.pop(event.task_id, None)
        if done is None:
            return
        if event.outcome not in RAN or event.run_ms <= 0.0 or event.worker not in self._indexes:
            self._left_out["ended without a run"] += 1
            return
        done.worker, done.run_ms = self._indexes[event.worker], event.run_ms
        done.finished_ms = max(done.arrived_ms + 1e-3, at_ms - self._half_ms)
        done.started_ms = max(done.arrived_ms, done.finished_ms - event.run_ms)
        self._done.append(done)

    @property
    def _half_ms(self) -> float:
        return (self._settings or self._before.settings).round_trip_ms / 2.0

    def _add(self, worker: FleetWorker) -> None:
        self._indexes[worker.name] = len(self._workers)
        self._workers.append(worker)

    def _joined(self, event: WorkerJoined, at_ms: float) -> None:
        known = self._indexes.get(event.worker)
        if known is None:
            known = len(self._workers)
            self._add(
                FleetWorker(
                    event.worker,
                    event.slots,
                    event.worker_class,
                    labels=event.labels,
                    taints=event.taints,
                    resources=event.resources,
                    late=at_ms > 0.0,
                )
            )
            if at_ms == 0.0:
                return
        else:
            self._faults.append(Fault(at_ms, known))  # its former process, if that was still there
        self._leaving.discard(known)
        self._faults.append(Fault(at_ms, known, joins=True))

    def _left(self, event: WorkerLeft, at_ms: float) -> None:
        index = self._indexes.get(event.worker)
        if index is None:
            return
        if event.lost:
            self._faults.append(Fault(max(0.0, at_ms - DEAD_MS), index))
        else:
            self._leaves(event.worker, at_ms)

    def _leaves(self, name: str, at_ms: float) -> None:
        index = self._indexes.get(name)
        if index is not None and index not in self._leaving:
            self._leaving.add(index)
            self._faults.append(Fault(at_ms, index, leaves=True))
