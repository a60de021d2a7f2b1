"""Builders for tests of the core: events and settings with defaults, predictors that do as they are told.

Everything here is deterministic; instants are small integers, so that a failing test is easy to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from nexus_sched._kernel.digest import digest64
from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import CompletedRun, Predictor, PredictorFactory
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.model.effects import AnyEffect, Dispatch
from nexus_sched.model.events import (
    AnyEvent,
    TaskFinished,
    TaskReclaimed,
    TaskSubmitted,
    WorkerJoined,
    WorkerLeft,
    WorkerReported,
)
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import PRIORITY_DEFAULT, Retry, Task
from nexus_sched.model.terms import Terms
from nexus_sched.units import NS_PER_MS

PREDICTORS: Mapping[str, PredictorFactory] = {"ema": EmaPredictor, "learned": LearnedPredictor}


def task(
    task_id: str = "t1",
    task_type: str = "kind",
    *,
    priority: int = PRIORITY_DEFAULT,
    arrived_at_ms: int = 0,
    hint_ms: float | None = None,
    max_attempts: int = 3,
    retry: Retry = Retry.LOST,
    asks: Terms | None = None,
) -> Task:
    """A task as the core knows it."""
    return Task(task_id, task_type, priority, 0, arrived_at_ms, hint_ms, max_attempts, retry, asks)


def submitted(what: Task | str = "t1", entry: str = "") -> TaskSubmitted:
    """It waits in its queue stream, under the entry `<arrival>-<id>` unless one is given."""
    described = task(what) if isinstance(what, str) else what
    return TaskSubmitted(described, entry or f"{described.arrived_at_ms}-{described.id}")


def joined(worker: str = "w1", *, slots: int = 1, incarnation: int = 1, worker_class: str = "") -> WorkerJoined:
    """A worker registered."""
    return WorkerJoined(worker, incarnation, slots, worker_class)


def left(worker: str = "w1", *, incarnation: int = 1, lost: bool = False) -> WorkerLeft:
    """A worker said good-bye, or was lost."""
    return WorkerLeft(worker, incarnation, lost)


def draining(worker: str = "w1", *, incarnation: int = 1) -> WorkerReported:
    """A worker takes nothing new."""
    return WorkerReported(worker, incarnation, True, 0, 0)


def finished(
    task_id: str = "t1",
    worker: str = "w1",
    *,
    attempt: int = 1,
    run_ms: float = 100.0,
    outcome: Outcome = Outcome.SUCCEEDED,
) -> TaskFinished:
    """A run ended for good."""
    return TaskFinished(task_id, attempt, worker, outcome, run_ms, 0.0, 0)


def reclaimed(
    task_id: str = "t1",
    worker: str = "w1",
    *,
    attempt: int = 1,
    reason: Reason = Reason.WORKER_LOST,
    started: bool = True,
    entry: str = "",
) -> TaskReclaimed:
    """A dispatched task is in `q:r` again, under the entry `<attempt>-<id>` unless one is given."""
    return TaskReclaimed(task_id, attempt, worker, reason, started, entry or f"{attempt}-{task_id}")


def prediction(mean_ms: float, p50_ms: float | None = None) -> TaskPrediction:
    """A prediction of this mean, and of the same median unless one is given."""
    return (
        TaskPrediction(mean_ms, mean_ms, mean_ms, mean_ms, 1.0, "told", 1, "told", 1)
        if p50_ms is None
        else (TaskPrediction(p50_ms, mean_ms, mean_ms, mean_ms, 1.0, "told", 1, "told", 1))
    )


class ToldPredictor:
    """Answers what `answer` says, and counts how often it was asked. State: the number of learned runs."""

    name = "told"
    version = 1
    knows_workers = False

    def __init__(self, answer: Callable[[Task], TaskPrediction | None]) -> None:
        self.answer = answer
        self.asked = 0
        self.learned: list[CompletedRun] = []
        self._restored = 0

    def predict(
        self,
        task: Task,
        worker: str | None = None,  # noqa: ARG002 - the contract's
        worker_class: str = "",  # noqa: ARG002 - the contract's
    ) -> TaskPrediction | None:
        """Whatever `answer` gives or raises."""
        self.asked += 1
        return self.answer(task)

    def learn(self, run: CompletedRun) -> str | None:
        """Remember the run."""
        self.learned.append(run)
        return None

    def snapshot(self) -> bytes:
        """How much was learned."""
        return msgspec.msgpack.encode(self._restored + len(self.learned))

    def restore(self, blob: bytes) -> None:
        """Take over how much was learned."""
        self.learned = []
        self._restored = msgspec.msgpack.decode(blob, type=int)

    def digest(self) -> int:
        """Digest of the snapshot."""
        return digest64(self.snapshot())


def raising(task: Task) -> TaskPrediction | None:  # noqa: ARG001 - one shape for all answers
    """The answer of a predictor that is broken."""
    raise RuntimeError("broken on purpose")


class Bench:
    """An engine with a clock of whole milliseconds, for tests that read like a story."""

    def __init__(self, settings: EngineSettings | None = None, predictor: Predictor | None = None) -> None:
        told = predictor
        if told is None:
            self.engine = Engine(PREDICTORS, settings)
        else:
            self.engine = Engine({told.name: lambda _: told}, settings or EngineSettings(predictor=told.name))
        self.now_ms = 0

    def turn(self, *events: AnyEvent, after_ms: int = 0) -> list[AnyEffect]:
        """Take one turn, `after_ms` after the last one."""
        self.now_ms += after_ms
        return self.engine.handle(events, self.now_ms * NS_PER_MS)

    def dispatched(self, *events: AnyEvent, after_ms: int = 0) -> list[tuple[str, str]]:
        """Take one turn; `(task, worker)` of what it dispatched, in order."""
        return placements(self.turn(*events, after_ms=after_ms))


def placements(effects: Sequence[AnyEffect]) -> list[tuple[str, str]]:
    """`(task, worker)` of every dispatch among `effects`, in order."""
    return [(each.decision.task_id, each.decision.worker) for each in effects if isinstance(each, Dispatch)]
