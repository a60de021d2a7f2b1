"""How things end. Expected results are values; only a broken world raises."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from nexus_sched.model.task import DurationMs

RESULT_BYTES_MAX = 16 * 2**20
ERROR_LENGTH_MAX = 2_000
MEMORY_BYTES_MAX = 2**50


class Outcome(Enum):
    """How one run of a task ended, as its worker reports it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the function raised
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    REJECTED = "rejected"  # the worker knows no such type, or cannot read the payload
    PREEMPTED = "preempted"  # stopped in favour of a more urgent task; never final, never a failure


class Completion(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a worker reports of a finished run: a MessagePack map with these keys.

    `run_ms` is the service time (start to end of the user's function), `queue_ms` the time the task lay
    in the worker's inbox before that. Only the service time of successful runs trains a predictor.
    """

    outcome: Outcome = Outcome.SUCCEEDED
    run_ms: DurationMs
    queue_ms: DurationMs = 0.0
    result_bytes: Annotated[int, Meta(ge=0, le=RESULT_BYTES_MAX)] = 0
    error: Annotated[str, Meta(max_length=ERROR_LENGTH_MAX)] = ""
    cpu_ms: DurationMs = 0.0  # processor time of the run, 0 if it was not measured
    memory_bytes: Annotated[int, Meta(ge=0, le=MEMORY_BYTES_MAX)] = 0  # the most it held at once, 0 if not measured


class Acceptance(Enum):
    """What `submit` answered for one task."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # a task of this id is already known; nothing was written
    BUSY = "busy"  # a bound on queued tasks or bytes is reached; nothing was written


class Receipt(Enum):
    """What `step` answered for one reported completion. The values are the protocol's codes."""

    STALE = 0  # somebody else finished it, or it was cancelled: the result is dropped
    ACCEPTED = 1
    REPEATED = 2  # this very report was accepted before
    LATE = 3  # accepted although the task had been reclaimed: the first completion wins
    RETURNED = 4  # not final: the task went back to the queue for another attempt


class Reason(Enum):
    """Why a task was dead-lettered, refused or taken back."""

    WORKER_LOST = "worker-lost"
    WORKER_RESTARTED = "worker-restarted"
    WORKER_LEFT = "worker-left"
    RETRACTED = "retracted"
    RUN_FAILED = "run-failed"
    ATTEMPTS_EXHAUSTED = "attempts-exhausted"
    NOT_REPEATABLE = "not-repeatable"  # retry = "never" and it had been started
    WORKER_KILLER = "worker-killer"  # two workers died while running it
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    ENGINE_ERROR = "engine-error"  # handling it raised; kept for inspection
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    DEADLINE = "deadline"  # strict, and it could not be met
