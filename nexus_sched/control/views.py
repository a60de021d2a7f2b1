"""The answers of changes and looks, as `--json` and the API give them: one type for both."""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.model.answer import WorkerAnswer
from nexus_sched.model.worker import WorkerStanding


class Change(Struct, frozen=True, kw_only=True):
    """What was changed, or would be."""

    effect: str  # in words
    dry_run: bool
    in_force: bool  # the scheduler has said that it is so now; without it, it was told and has not said so yet


class WorkerChange(Change, frozen=True, kw_only=True):
    """A decision about a worker, with what the scheduler said of it before and after."""

    worker: str
    before: WorkerAnswer
    after: WorkerAnswer | None


class TaskState(Struct, frozen=True, kw_only=True):
    """Where a task stands."""

    task_id: str
    state: str  # queued, running, or how it ended
    attempt: int
    worker: str


class TaskChange(Change, frozen=True, kw_only=True):
    """A decision about a task."""

    task_id: str
    outcome: str  # what came of it: one of those in `nexus_sched.control.tasks`
    before: TaskState
    after: TaskState | None


class PoolState(Struct, frozen=True, kw_only=True):
    """How a pool works now."""

    mode: str
    predictor: str
    shadow: str
    breaker: str
    paused: dict[str, str]  # type of task ("" is the whole pool) -> why


class PoolChange(Change, frozen=True, kw_only=True):
    """A decision about a pool."""

    before: PoolState
    after: PoolState | None


class OverrideView(Struct, frozen=True, kw_only=True):
    """What people decided for a while: `{"type": "resize"}` or `{"task": "..."}`, and what they want of it."""

    scope: dict[str, str]
    effect: dict[str, float | str]  # `estimate_ms`, `factor`, `pin`, `avoid` or `priority`
    reason: str
    actor: str
    until_ms: int
    remaining_ms: int


class OverrideChange(Change, frozen=True, kw_only=True):
    """An override, or its end."""

    override: dict[str, object]
    replaces: OverrideView | None


class WorkerRow(Struct, frozen=True, kw_only=True):
    """A worker in a list."""

    worker: str
    standing: WorkerStanding
    worker_class: str
    slots: int
    in_flight: int
    booked_ms: float
    incarnation: int
    heard_age_ms: float
