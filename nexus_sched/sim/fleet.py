"""The workers of a simulation: what they hold and run, as real ones do, and what the scheduler hears of it.

Laws
* A worker starts the oldest task of its inbox as soon as a slot is free, and needs nobody's leave for that.
* Everything the scheduler hears travels half a round trip; what it says does as well (`Drive` plans that).
* A task may be taken back only before it began. A worker that dies says nothing: it is suspected and declared lost
  when its heartbeats have failed for as long as the configuration's defaults say, and only then what it held returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from nexus_sched.model.events import (
    AnyEvent,
    TaskFinished,
    TaskReclaimed,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
    WorkerSuspected,
)
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.sim.agenda import Agenda
from nexus_sched.sim.history import History
from nexus_sched.sim.workload import FleetWorker, Warmth, Workload

SUSPECT_MS = 2_000.0  # defaults of `scheduler.suspect` and `scheduler.dead`
DEAD_MS = 30_000.0


class _Worker:
    """State of one worker. An attempt has one start at most, so (task, attempt) names a run."""

    __slots__ = ("free", "inbox", "incarnation", "leaving", "lost", "running", "spec", "up", "up_since_ms", "warm")

    def __init__(self, spec: FleetWorker) -> None:
        self.spec = spec
        self.free = spec.slots
        self.inbox: deque[tuple[int, int]] = deque()  # (task, attempt), the oldest first
        self.running: dict[tuple[int, int], float] = {}  # (task, attempt) -> start
        self.lost: list[tuple[int, int]] = []  # what it ran when it died
        self.warm: dict[str, None] = {}  # affinity keys, the newest last
        self.incarnation = 0 if spec.late else 1
        self.up = not spec.late
        self.leaving = False
        self.up_since_ms = 0.0


class Fleet:
    """All workers. The methods that take `(now_ms, ...)` are actions of the agenda."""

    def __init__(self, workload: Workload, agenda: Agenda, history: History, hear: Callable[[AnyEvent], None]) -> None:
        self._workers = [_Worker(spec) for spec in workload.workers]
        self._agenda = agenda
        self._history = history
        self._hear = hear
        self._half_ms = workload.rtt_ms / 2.0
        self._run_ms = workload.truth.run_ms
        self._warmth = workload.warmth
        self._keys = [task.terms.affinity for task in workload.tasks] if workload.warmth else []
        history.up = [[] for _ in workload.workers]
        for fault in workload.faults:
            what = self.come_back if fault.joins else self.leave if fault.leaves else self.die
            agenda.plan(fault.at_ms, what, fault.worker)

    def joins(self) -> list[AnyEvent]:
        """The registrations that the scheduler hears first."""
        return [self._joined(worker) for worker in self._workers if worker.up]

    # -- what the scheduler does

    def deliver(self, now_ms: float, index: int, task: int, attempt: int) -> None:
        """A task arrives in an inbox."""
        worker = self._workers[index]
        if worker.free and worker.up and not worker.leaving:
            self._start(now_ms, worker, index, task, attempt)
        elif worker.leaving:
            self._tell(now_ms, self._reclaimed(worker, task, attempt, Reason.WORKER_LEFT, started=False))
        else:
            worker.inbox.append((task, attempt))

    def take_back(self, now_ms: float, index: int, task: int, attempt: int) -> None:
        """A task is taken out of an inbox, unless it has begun."""
        worker = self._workers[index]
        if (task, attempt) in worker.inbox:
            worker.inbox.remove((task, attempt))
            self._history.recalls += 1
            self._tell(now_ms, self._reclaimed(worker, task, attempt, Reason.RETRACTED, started=False))

    def stop(self, now_ms: float, index: int, task: int, order: tuple[int, bool]) -> None:
        """A run is asked to end, and does at once; `order` is the attempt, and whether the task waits again."""
        attempt, preempt = order
        worker = self._workers[index]
        started_ms = worker.running.pop((task, attempt), None)
        if started_ms is None:
            return
        self._history.wasted.append((index, started_ms, now_ms))
        if preempt:
            event: AnyEvent = self._reclaimed(worker, task, attempt, Reason.PREEMPTED, started=True)
        else:
            event = self._ended(worker, task, attempt, Outcome.CANCELLED, now_ms - started_ms)
            self._history.give_up(task)
        self._tell(now_ms, event)
        self._freed(now_ms, worker, index)

    # -- what happens to them

    def end(self, now_ms: float, index: int, task: int, attempt: int) -> None:
        """A run comes to its end, unless its worker died meanwhile or was told to stop it."""
        worker = self._workers[index]
        started_ms = worker.running.pop((task, attempt), None)
        if started_ms is None:
            return
        self._history.finish(task, index, started_ms, now_ms)
        self._tell(now_ms, self._ended(worker, task, attempt, Outcome.SUCCEEDED, now_ms - started_ms))
        self._freed(now_ms, worker, index)

    def leave(self, now_ms: float, index: int, _: None, __: None) -> None:
        """A worker wants no more tasks: it gives back what it has not begun, and goes when the rest has ended."""
        worker = self._workers[index]
        if not worker.up or worker.leaving:
            return
        worker.leaving = True
        running = len(worker.running)
        self._tell(now_ms, WorkerReported(worker.spec.name, worker.incarnation, True, running, 0))
        for task, attempt in worker.inbox:
            self._tell(now_ms, self._reclaimed(worker, task, attempt, Reason.WORKER_LEFT, started=False))
        worker.inbox.clear()
        if not running:
            self._gone(now_ms, worker, index)

    def _gone(self, now_ms: float, worker: _Worker, index: int) -> None:
        worker.up = False
        self._history.up[index].append((worker.up_since_ms, now_ms))
        self._tell(now_ms, WorkerLeft(worker.spec.name, worker.incarnation, lost=False))

    def die(self, now_ms: float, index: int, _: None, __: None) -> None:
        """A worker is gone; nobody knows yet."""
        worker = self._workers[index]
        if not worker.up:
            return
        worker.up = False
        self._history.up[index].append((worker.up_since_ms, now_ms))
        self._history.wasted += [(index, started_ms, now_ms) for started_ms in worker.running.values()]
        worker.lost += worker.running
        worker.running.clear()
        worker.free = worker.spec.slots
        self._agenda.plan(now_ms + SUSPECT_MS, self._suspect, index, worker.incarnation)
        self._agenda.plan(now_ms + DEAD_MS, self._declare_lost, index, worker.incarnation)

    def come_back(self, now_ms: float, index: int, _: None, __: None) -> None:
        """A new process under the same name: what the former one ran is lost, the inbox is still there."""
        worker = self._workers[index]
        if worker.up:
            return
        worker.incarnation += 1
        worker.up, worker.up_since_ms, worker.leaving = True, now_ms, False
        worker.warm.clear()
        self._tell(now_ms, self._joined(worker))
        self._lose_running(now_ms, worker, Reason.WORKER_RESTARTED)
        while worker.free and worker.inbox:
            self._next(now_ms, worker, index)

    def _suspect(self, now_ms: float, index: int, incarnation: int, _: None) -> None:
        worker = self._workers[index]
        if not worker.up and worker.incarnation == incarnation:
            self._tell(now_ms, WorkerSuspected(worker.spec.name))

    def _declare_lost(self, now_ms: float, index: int, incarnation: int, _: None) -> None:
        worker = self._workers[index]
        if worker.up or worker.incarnation != incarnation:
            return
        self._lose_running(now_ms, worker, Reason.WORKER_LOST)
        for task, attempt in worker.inbox:
            self._tell(now_ms, self._reclaimed(worker, task, attempt, Reason.WORKER_LOST, started=False))
        worker.inbox.clear()
        self._tell(now_ms, WorkerLeft(worker.spec.name, incarnation, lost=True))

    def _lose_running(self, now_ms: float, worker: _Worker, reason: Reason) -> None:
        for task, attempt in worker.lost:
            self._tell(now_ms, self._reclaimed(worker, task, attempt, reason, started=True))
        worker.lost.clear()

    # -- running

    def _freed(self, now_ms: float, worker: _Worker, index: int) -> None:
        worker.free += 1
        self._next(now_ms, worker, index)
        if worker.leaving and not worker.running:
            self._gone(now_ms, worker, index)

    def _next(self, now_ms: float, worker: _Worker, index: int) -> None:
        if worker.inbox and worker.up:
            task, attempt = worker.inbox.popleft()
            self._start(now_ms, worker, index, task, attempt)

    def _start(self, now_ms: float, worker: _Worker, index: int, task: int, attempt: int) -> None:
        worker.free -= 1
        worker.running[task, attempt] = now_ms
        run_ms = self._run_ms(task, index, now_ms)
        if self._warmth is not None and self._keys[task]:
            run_ms += self._warm_up(worker, self._keys[task], self._warmth)
        self._agenda.plan(now_ms + run_ms, self.end, index, task, attempt)

    def _warm_up(self, worker: _Worker, key: str, warmth: Warmth) -> float:
        """What a start with this key costs on top; from now on it is the newest."""
        warm = key in worker.warm
        worker.warm.pop(key, None)
        worker.warm[key] = None
        if len(worker.warm) > warmth.keys:
            del worker.warm[next(iter(worker.warm))]
        self._history.warm += warm
        self._history.cold += not warm
        return 0.0 if warm else warmth.cold_ms

    def close(self, now_ms: float) -> None:
        """The simulation is over: note who was there until now."""
        for index, worker in enumerate(self._workers):
            if worker.up:
                self._history.up[index].append((worker.up_since_ms, now_ms))

    # -- what is heard of it

    def _tell(self, now_ms: float, event: AnyEvent) -> None:
        self._agenda.plan(now_ms + self._half_ms, self._arrive, event)

    def _arrive(self, now_ms: float, event: AnyEvent, _: None, __: None) -> None:  # noqa: ARG002 - an action
        self._hear(event)

    @staticmethod
    def _joined(worker: _Worker) -> WorkerJoined:
        spec = worker.spec
        return WorkerJoined(
            spec.name, worker.incarnation, spec.slots, spec.worker_class, spec.labels, spec.taints, spec.resources
        )

    @staticmethod
    def _ended(worker: _Worker, task: int, attempt: int, outcome: Outcome, run_ms: float) -> TaskFinished:
        return TaskFinished(str(task), attempt, worker.spec.name, outcome, run_ms, 0.0, 0)

    @staticmethod
    def _reclaimed(worker: _Worker, task: int, attempt: int, reason: Reason, *, started: bool) -> TaskReclaimed:
        return TaskReclaimed(str(task), attempt, worker.spec.name, reason, started, f"r-{task}-{attempt}")
