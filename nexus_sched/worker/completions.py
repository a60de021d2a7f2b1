"""From the ending of a run to the line that reports it, and whether another attempt is wanted."""

from __future__ import annotations

import msgspec

from nexus_sched.model.outcome import MEMORY_BYTES_MAX, Completion, Outcome
from nexus_sched.model.payload import encode_error
from nexus_sched.model.task import DURATION_MS_MAX, Retry, TaskSpec
from nexus_sched.runtime.ports import CompletionLine, StartLine
from nexus_sched.worker.calls import Ending
from nexus_sched.worker.functions import TaskFunction

CANCELLED_UNSTARTED = Ending(Outcome.CANCELLED, 0.0, b"", "cancelled before it started")
PREEMPTED_UNSTARTED = Ending(Outcome.PREEMPTED, 0.0, b"", "given back before it started")

_encode = msgspec.msgpack.Encoder().encode
_REPEATED_BY_ANY = (Outcome.FAILED, Outcome.TIMED_OUT)


def is_final(outcome: Outcome, attempt: int, spec: TaskSpec, function: TaskFunction) -> bool:
    """Whether this run decides the task.

    A run that gave way to another never does. Else only one that failed or ran out of time may be repeated, under
    retry `any`: the submitter's, or the
    function's where the submitter left the default. Of two bounds on attempts the lower one holds,
    because the scheduler keeps to the submitter's in any case. A task that was sent again has all of them before it.
    """
    if outcome not in _REPEATED_BY_ANY:
        return outcome is not Outcome.PREEMPTED
    retry = function.retry if spec.retry is Retry.LOST and function.retry is not None else spec.retry
    attempts_max = min(spec.max_attempts, function.max_attempts or spec.max_attempts)
    return retry is not Retry.ANY or attempt - spec.former_attempts >= attempts_max


def completion(line: StartLine, ending: Ending, queue_ms: float = 0.0, final: bool = True) -> CompletionLine:
    """The report of one run. What failed leaves its error text as the result."""
    outcome, run_ms, result, error, cpu_ms, memory_bytes = ending
    fact = Completion(
        outcome=outcome,
        run_ms=run_ms if run_ms < DURATION_MS_MAX else DURATION_MS_MAX,
        queue_ms=queue_ms if queue_ms < DURATION_MS_MAX else DURATION_MS_MAX,
        result_bytes=len(result),
        error=error,
        cpu_ms=min(cpu_ms, DURATION_MS_MAX),
        memory_bytes=min(memory_bytes, MEMORY_BYTES_MAX),
    )
    if outcome is not Outcome.SUCCEEDED:
        result = encode_error(error)
    return CompletionLine(line.task_id, line.attempt, line.inbox_entry, final, outcome, _encode(fact), result)
