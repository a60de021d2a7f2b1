"""What requests carry. Every field is bounded; an unknown one is refused, as a misspelt one would be ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from nexus_sched.client.submission import Submission, submission
from nexus_sched.errors import InvalidInput
from nexus_sched.model.task import ATTEMPTS_MAX, PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN

BATCH_TASKS_MAX = 10_000
LETTERS_MAX = 256

Span = Annotated[str, Meta(max_length=32, description='A duration such as "250ms" or "30s".')]
Text = Annotated[str, Meta(max_length=200)]
Reason = Annotated[str, Meta(min_length=1, max_length=500, description="Why; it is kept in the audit trail.")]
TaskId = Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{1,128}$")]
WorkerId = Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{1,128}$")]
TaskType = Annotated[str, Meta(pattern="^[A-Za-z0-9._:/-]{1,200}$")]


class TaskRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task to submit. What it means is said with `nexus_sched.client.submission`, whose options these are."""

    type: TaskType
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    task_id: TaskId | None = None
    priority: Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)] = PRIORITY_DEFAULT
    timeout: Span | None = None
    hint: Span | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=ATTEMPTS_MAX)] = 3
    retry: Literal["never", "lost", "any"] = "lost"
    traceparent: Annotated[str, Meta(max_length=64)] | None = None
    requires: Annotated[list[Text], Meta(max_length=16)] = []
    tolerates: Annotated[list[Text], Meta(max_length=16)] = []
    resources: Annotated[dict[str, str | float], Meta(max_length=8)] = {}
    tenant: Text | None = None
    key: Text | None = None
    affinity: Text | None = None
    affinity_worth: Span | None = None
    deadline: Span | None = None
    strict_deadline: bool = False
    delay: Span | None = None
    idempotent: bool = False
    backoff: Span | None = None
    eta: bool = True


_DEMANDS = (
    *("tenant", "key", "affinity", "affinity_worth", "deadline", "delay", "backoff"),
    *("requires", "tolerates", "resources", "strict_deadline", "idempotent"),
)


def submission_of(request: TaskRequest, task_id: str | None, traceparent: str | None, *, eta: bool) -> Submission:
    """The submission that a request describes, with the trace context to carry. Raises `InvalidInput`."""
    if request.task_id is not None and task_id is not None:
        raise InvalidInput("a task has an Idempotency-Key or a task_id of its own, not both")
    demands: dict[str, Any] = {name: value for name in _DEMANDS if (value := getattr(request, name))}
    return submission(
        request.type,
        *request.args,
        kwargs=request.kwargs,
        priority=request.priority,
        task_id=request.task_id or task_id,
        timeout=request.timeout,
        hint=request.hint,
        max_attempts=request.max_attempts,
        retry=request.retry,
        traceparent=traceparent,
        eta=eta,
        **demands,
    )


class BatchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Many tasks to submit. Nobody waits for estimates of them; ask for those of interest with `/v1/eta`."""

    tasks: Annotated[list[TaskRequest], Meta(min_length=1, max_length=BATCH_TASKS_MAX)]


class Because(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change that needs nothing but a reason."""

    reason: Reason


class BoostRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another priority for a waiting task."""

    reason: Reason
    priority: Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)] = PRIORITY_MAX


class ReassignRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another worker for a task that has not begun; any other one if none is named."""

    reason: Reason
    to: WorkerId | None = None


class ModeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How workers shall be picked."""

    mode: Literal["predictive", "shadow", "round-robin"]
    reason: Reason


class PauseRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hand out no more tasks: of a type, or none at all if none is named."""

    reason: Reason
    type: TaskType | None = None


class OverrideRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"for_": "for"}):
    """For a type or a task, for a while, one of: a worker to run on only, one to avoid, more or less priority.

    Or, for a type only, an estimate, or a factor for what is predicted of it.
    """

    reason: Reason
    for_: Annotated[str, Meta(max_length=32, description='How long, such as "1h".')]
    type: TaskType | None = None
    task: TaskId | None = None
    pin: WorkerId | None = None
    avoid: WorkerId | None = None
    priority: Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] | None = None
    estimate: Span | None = None
    factor: Annotated[float, Meta(ge=0.001, le=1000.0)] | None = None


class PredictorRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who shall predict, or learn in the shadow; nobody in the shadow if the name is empty."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{0,128}$")]
    reason: Reason


class Letter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dead letter, as the list names it."""

    entry: Annotated[str, Meta(pattern="^[0-9]{1,15}-[0-9]{1,9}$")]
    task_id: Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{0,128}$")]


class LettersRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dead letters to send again or to remove."""

    letters: Annotated[list[Letter], Meta(min_length=1, max_length=LETTERS_MAX)]
    reason: Reason
