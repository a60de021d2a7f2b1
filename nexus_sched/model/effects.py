"""Outputs of the core: what the shell must write. Recorded in the journal beside the events.

An effect is carried out by the one commit of its turn, or not at all.
"""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.eta import Eta
from nexus_sched.model.outcome import Reason


class Effect(Struct, frozen=True, array_like=True, gc=False):
    """Base of all outputs."""


class Dispatch(Effect, frozen=True, tag="dispatch"):
    """Move a task from its queue stream into a worker's inbox."""

    decision: SchedulingDecision
    stream: str  # the queue stream that holds its pointer: "q:0".."q:9" or "q:r"; empty for a copy of a running task
    entry: str


class DeadLetter(Effect, frozen=True, tag="dead"):
    """End a task without a result and keep it for people. `worker` held it last, if any."""

    task_id: str
    reason: Reason
    attempt: int
    worker: str
    detail: str
    stream: str
    entry: str


class CancelQueued(Effect, frozen=True, tag="cancelled"):
    """End a task that has not been handed out."""

    task_id: str
    stream: str
    entry: str


class Retract(Effect, frozen=True, tag="retract"):
    """Take an unstarted task back from an inbox; it returns by way of `q:r`. Refused if it runs."""

    task_id: str
    attempt: int
    worker: str
    inbox_entry: str


class CancelRunning(Effect, frozen=True, tag="stop"):
    """Tell a worker to stop a task it has; cooperative. With `preempt` the run goes back and waits again."""

    task_id: str
    attempt: int
    worker: str
    inbox_entry: str
    preempt: bool = False


class Discard(Effect, frozen=True, tag="discard"):
    """Remove a pointer whose task has ended elsewhere, or that was a repeat."""

    stream: str  # a queue stream or "i:<worker>"
    entry: str


class Noticed(Effect, frozen=True, tag="noticed"):
    """Something that people should hear of; it changes nothing. `kind` is counted: drift, distrust, refused."""

    kind: str
    detail: str


class Estimated(Effect, frozen=True, tag="estimated"):
    """When a task will start and finish: kept with the task, and told to its submitter."""

    task_id: str
    eta: Eta


class Answered(Effect, frozen=True, tag="answered"):
    """What the engine says to a question; `reply` names the list that the asker waits on."""

    reply: str
    blob: bytes  # JSON


AnyEffect = Noticed | Dispatch | DeadLetter | CancelQueued | Retract | CancelRunning | Discard | Estimated | Answered
