"""An engine with workers that run tasks in virtual time, for tests of what goes where and when.

Nothing fails unless a test says so. True run times are given with the tasks; predictions are the tasks' hints, so a
test can let them be wrong. Facts reach the engine at the instant at which they happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush

from msgspec import Struct

from nexus_sched.core import snapshot
from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.model.effects import AnyEffect, CancelQueued, DeadLetter, Dispatch
from nexus_sched.model.events import AnyEvent, TaskFinished, TaskReclaimed, TaskSubmitted, WorkerJoined
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.testing.builders import ToldPredictor, prediction
from nexus_sched.units import NS_PER_MS


def hinted(task: Task) -> TaskPrediction | None:
    """The hint is the prediction."""
    return None if task.hint_ms is None else prediction(task.hint_ms)


TOLD: Mapping[str, PredictorFactory] = {"told": lambda _: ToldPredictor(hinted)}


class Job(Struct):
    """A task, what it really takes, and how many of its first runs fail."""

    task: Task
    run_ms: int
    failures: int = 0


class Handed(Struct, frozen=True):
    """A task was handed out."""

    at_ms: int
    task: Task
    worker: str
    attempt: int


class Fleet:
    """One engine, its workers, and a record of what was handed out."""

    def __init__(self, settings: EngineSettings, workers: Sequence[WorkerJoined]) -> None:
        self.engine = Engine(TOLD, settings)
        self.twin: Engine | None = None
        self.now_ms = 0
        self.jobs: dict[str, Job] = {}
        self.handed: list[Handed] = []
        self.ended: dict[str, str] = {}  # task id -> how
        self.used_ms: dict[str, float] = {}  # worker time by tenant, of runs that ended
        self.look: Callable[[], None] = lambda: None  # after every turn
        self._workers = {each.worker: each for each in workers}
        self._inboxes: dict[str, deque[Handed]] = {each.worker: deque() for each in workers}
        self._running: dict[str, int] = dict.fromkeys(self._workers, 0)
        self._events: list[tuple[int, int, AnyEvent, Handed | None]] = []
        self._numbers = 0
        self._twin_turns = 0
        self.turn(list(workers))

    def at(self, at_ms: int, event: AnyEvent, run: Handed | None = None) -> None:
        """Let something happen."""
        self._numbers += 1
        heappush(self._events, (at_ms, self._numbers, event, run))

    def submit(self, job: Job) -> None:
        """A task comes in when it arrives."""
        self.jobs[job.task.id] = job
        self.at(job.task.arrived_at_ms, TaskSubmitted(job.task, f"{job.task.arrived_at_ms}-{job.task.id}"))

    def run(self, until_ms: int | None = None) -> None:
        """Go on until every task has ended, or until an instant."""
        while len(self.ended) < len(self.jobs):
            at_ms = self._next_ms()
            assert at_ms is not None, "tasks are left, and nothing will ever happen"
            if until_ms is not None and at_ms > until_ms:
                break
            self.now_ms = at_ms
            events = []
            while self._events and self._events[0][0] <= at_ms:
                _, _, event, run = heappop(self._events)
                events.append(event)
                if run is not None:
                    self._release(run)
            self.turn(events)

    def _next_ms(self) -> int | None:
        if self.engine.ready:
            return self.now_ms
        due_ms = self.engine.next_due_ms
        assert due_ms is None or due_ms > self.now_ms, "a turn is wanted that would do nothing"
        found = [due_ms, self._events[0][0] if self._events else None]
        return min((each for each in found if each is not None), default=None)

    def turn(self, events: list[AnyEvent]) -> None:
        """Let the engine take a turn, and carry out what it decides."""
        effects = self.engine.handle(events, self.now_ms * NS_PER_MS)
        if self.twin is not None:
            assert self.twin.handle(events, self.now_ms * NS_PER_MS) == effects
            assert self.twin.next_due_ms == self.engine.next_due_ms
            self._twin_turns -= 1
            if not self._twin_turns:
                assert snapshot.take(self.twin) == snapshot.take(self.engine)
                self.twin = None
        for effect in effects:
            self._carry_out(effect)
        self.look()

    def fork(self, turns: int) -> None:
        """For some turns, an engine that was restored from a snapshot must do the same."""
        blob = snapshot.take(self.engine)
        self.twin = snapshot.restore(blob, TOLD)
        assert snapshot.take(self.twin) == blob
        assert self.twin.digest() == self.engine.digest()
        assert self.twin.next_due_ms == self.engine.next_due_ms
        self._twin_turns = turns

    def _carry_out(self, effect: AnyEffect) -> None:
        if isinstance(effect, Dispatch):
            decision = effect.decision
            run = Handed(self.now_ms, self.jobs[decision.task_id].task, decision.worker, decision.attempt)
            self.handed.append(run)
            self._inboxes[run.worker].append(run)
            self._start(run.worker)
        elif isinstance(effect, DeadLetter):
            self._end(effect.task_id, effect.reason.value)
        elif isinstance(effect, CancelQueued):
            self._end(effect.task_id, "cancelled")

    def _end(self, task_id: str, how: str) -> None:
        assert task_id not in self.ended, f"{task_id} ends twice"
        self.ended[task_id] = how

    def _start(self, worker: str) -> None:
        inbox = self._inboxes[worker]
        while inbox and self._running[worker] < self._workers[worker].slots:
            run = inbox.popleft()
            self._running[worker] += 1
            job = self.jobs[run.task.id]
            end: AnyEvent = TaskFinished(run.task.id, run.attempt, worker, Outcome.SUCCEEDED, float(job.run_ms), 0.0, 0)
            if run.attempt <= job.failures:
                entry = f"{run.attempt}-{run.task.id}"
                end = TaskReclaimed(run.task.id, run.attempt, worker, Reason.RUN_FAILED, True, entry)
            self.at(self.now_ms + job.run_ms, end, run)

    def _release(self, run: Handed) -> None:
        """A run has ended: its slot is free, and the next of the inbox starts."""
        tenant = run.task.terms.tenant
        self.used_ms[tenant] = self.used_ms.get(tenant, 0.0) + self.jobs[run.task.id].run_ms
        self._running[run.worker] -= 1
        self._start(run.worker)
        if run.attempt > self.jobs[run.task.id].failures:
            self._end(run.task.id, "finished")
