"""Whether a task that was taken back may run again. The graph of its life is in `core.engine`."""

from __future__ import annotations

from nexus_sched.core.records import TaskRecord
from nexus_sched.model.outcome import Reason
from nexus_sched.model.task import Retry


def why_not_again(record: TaskRecord, deaths_max: int) -> Reason | None:
    """Why a task must be dead-lettered now that it came back, `None` if it may wait for another attempt.

    A task that never started may always wait again.
    """
    past = record.past
    if past.starts == 0:
        return None
    if record.task.retry is Retry.NEVER:
        return Reason.NOT_REPEATABLE
    if past.deaths >= deaths_max:
        return Reason.WORKER_KILLER
    if past.starts >= record.task.max_attempts:
        return Reason.ATTEMPTS_EXHAUSTED
    return None
