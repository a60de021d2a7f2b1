"""How a task ended, from its record or its announcement: a value, or the error that tells why there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nexus_sched.errors import TaskFailed, TaskUnknown
from nexus_sched.model.outcome import Outcome
from nexus_sched.model.payload import decode_error, decode_result
from nexus_sched.runtime.ports import Ended, TaskRecord

Fetch = Callable[[str], Awaitable[bytes | None]]  # the kept result of a task, `None` if there is none (any more)

QUEUED, RUNNING, FINISHED, DEAD, CANCELLED = "Q", "R", "F", "D", "C"

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
_STATES = {QUEUED: "queued", RUNNING: "running", DEAD: "dead", CANCELLED: "cancelled"}


def state_of(record: TaskRecord) -> str:
    """`queued`, `running`, `dead`, `cancelled`, or the outcome of a finished task."""
    return record.outcome if record.state == FINISHED else _STATES[record.state]


def is_open(record: TaskRecord) -> bool:
    """Whether the task has not ended."""
    return record.state in (QUEUED, RUNNING)


def value_of(task_id: str, record: TaskRecord, kept: bytes | None) -> object:
    """The result of an ended task, `kept` of one that finished; raises `TaskFailed` if it has none."""
    if record.state == FINISHED:
        return _conclude(task_id, record.outcome, kept)
    if record.state == CANCELLED:
        raise TaskFailed(task_id, Outcome.CANCELLED.value, "cancelled before it started")
    raise TaskFailed(task_id, "dead", record.outcome)


async def announced_value(fetch: Fetch, ended: Ended) -> object:
    """The same from an announcement; only a large result is fetched."""
    if ended.outcome not in _OUTCOMES:
        raise TaskFailed(ended.task_id, "dead", ended.outcome)
    result = ended.result
    if result is None and (result := await fetch(ended.task_id)) is None:
        raise TaskUnknown(f"the result of task {ended.task_id} is not kept any more")
    return _conclude(ended.task_id, ended.outcome, result)


def _conclude(task_id: str, outcome: str, result: bytes | None) -> object:
    if outcome == Outcome.SUCCEEDED.value:
        return decode_result(result or b"")
    reason = decode_error(result)
    if not reason:
        reason = "cancelled before it started" if outcome == Outcome.CANCELLED.value else "no reason was given"
    raise TaskFailed(task_id, outcome, reason)
