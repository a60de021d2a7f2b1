"""What an operator or submitter asks of the leader, by way of the `cmd` stream (field `f`)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from nexus_sched.model.question import Question
from nexus_sched.model.task import PRIORITY_MAX, PRIORITY_MIN, DurationMs

PIN_MS_MAX = 90 * 86_400_000  # a pin that should last longer is a wrong model
REPLY_LENGTH_MAX = 64

Said = Annotated[str, Meta(min_length=1, max_length=500)]  # why; kept in the journal
SaidOrNot = Annotated[str, Meta(max_length=500)]
Actor = Annotated[str, Meta(max_length=128)]


class CancelTask(Struct, frozen=True, tag="cancel", tag_field="kind"):
    """Do not run this task, or stop it. Its submitter need not say why."""

    task_id: str
    reason: SaidOrNot = ""
    actor: Actor = ""


class BoostTask(Struct, frozen=True, tag="boost", tag_field="kind"):
    """Give a waiting task another priority."""

    task_id: str
    priority: Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)]
    reason: Said
    actor: Actor = ""


class ReassignTask(Struct, frozen=True, tag="reassign", tag_field="kind"):
    """Let a task that has not begun go to this worker; an empty one: to any but the one that has it."""

    task_id: str
    reason: Said
    worker: str = ""
    actor: Actor = ""


class RetryTask(Struct, frozen=True, tag="retry", tag_field="kind"):
    """Do not wait any longer before a task's retry, or for its delay."""

    task_id: str
    reason: Said
    actor: Actor = ""


class PauseTasks(Struct, frozen=True, tag="pause", tag_field="kind"):
    """Hand out no tasks of a type; an empty one is the whole pool."""

    reason: Said
    task_type: str = ""
    actor: Actor = ""


class ResumeTasks(Struct, frozen=True, tag="unpause", tag_field="kind"):
    """Hand them out again."""

    reason: Said
    task_type: str = ""
    actor: Actor = ""


class SetMode(Struct, frozen=True, tag="mode", tag_field="kind"):
    """Choose how workers are picked; one of `settings.MODES`."""

    mode: str
    reason: SaidOrNot = ""
    actor: Actor = ""


class ChoosePredictor(Struct, frozen=True, tag="predictor", tag_field="kind"):
    """Let this predictor speak; the former one goes into the shadow, so that choosing it again rolls back."""

    name: str
    reason: SaidOrNot = ""
    actor: Actor = ""


class ShadowPredictor(Struct, frozen=True, tag="shadow", tag_field="kind"):
    """Let this predictor learn and be scored beside the active one; an empty name ends that."""

    name: str
    reason: SaidOrNot = ""
    actor: Actor = ""


class PinEstimate(Struct, frozen=True, tag="pin", tag_field="kind"):
    """Let a value or a factor stand for the predictions of a type, for a while."""

    task_type: str
    for_ms: Annotated[int, Meta(ge=1, le=PIN_MS_MAX)]
    reason: Said
    actor: Actor = ""
    value_ms: DurationMs | None = None
    factor: Annotated[float, Meta(ge=0.001, le=1000.0)] = 1.0


class UnpinEstimate(Struct, frozen=True, tag="unpin", tag_field="kind"):
    """End a pinned estimate."""

    task_type: str
    reason: SaidOrNot = ""
    actor: Actor = ""


class AddOverride(Struct, frozen=True, tag="override", tag_field="kind"):
    """Decide for a while where a task, or all tasks of a type, may run, or how urgent they are.

    `effect` is one of `model.overrides.EFFECTS`. Either `task_type` or `task_id` is given; a pin and an avoidance name
    their worker in `target`, a priority says in `levels` by how much it is raised or lowered.
    """

    effect: str
    for_ms: Annotated[int, Meta(ge=1, le=PIN_MS_MAX)]
    reason: Said
    actor: Actor = ""
    task_type: str = ""
    task_id: str = ""
    target: str = ""
    levels: Annotated[int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0


class RemoveOverride(Struct, frozen=True, tag="unoverride", tag_field="kind"):
    """End an override before its time; `target` is the worker of an avoidance."""

    effect: str
    reason: Said
    actor: Actor = ""
    task_type: str = ""
    task_id: str = ""
    target: str = ""


class CordonWorker(Struct, frozen=True, tag="cordon", tag_field="kind"):
    """Give a worker nothing new; with `drain` also take back what it has not started."""

    worker: str
    drain: bool
    reason: Said
    actor: Actor = ""


class ResumeWorker(Struct, frozen=True, tag="resume", tag_field="kind"):
    """Let a worker take tasks again, whatever had stopped it: a cordon, a drain, an open breaker."""

    worker: str
    reason: Said
    actor: Actor = ""


class TripWorker(Struct, frozen=True, tag="trip", tag_field="kind"):
    """Open a worker's breaker, as if its runs had failed."""

    worker: str
    reason: Said
    actor: Actor = ""


class EvictWorker(Struct, frozen=True, tag="evict", tag_field="kind"):
    """Empty a worker: nothing new, what it has not started goes back, what it runs is stopped and runs elsewhere."""

    worker: str
    reason: Said
    actor: Actor = ""


class ReloadConfiguration(Struct, frozen=True, tag="reload", tag_field="kind"):
    """Let the leader read its configuration again; what of it changes follows as an event of its own."""

    reason: Said
    actor: Actor = ""


class Ask(Struct, frozen=True, tag="ask", tag_field="kind"):
    """Answer a question on the list that `reply` names."""

    reply: Annotated[str, Meta(min_length=1, max_length=REPLY_LENGTH_MAX)]
    question: Question


Command = (
    CancelTask
    | SetMode
    | ChoosePredictor
    | ShadowPredictor
    | PinEstimate
    | UnpinEstimate
    | AddOverride
    | RemoveOverride
    | CordonWorker
    | ResumeWorker
    | TripWorker
    | EvictWorker
    | BoostTask
    | ReassignTask
    | RetryTask
    | PauseTasks
    | ResumeTasks
    | ReloadConfiguration
    | Ask
)

encode_command = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(Command).decode
