"""Inputs of the core. Everything that may change its state is one of these, and is journaled.

Events are facts that have already passed validation; they are small, frozen and encoded as tagged
MessagePack arrays. New fields are appended with a default, tags are never reused.
`entry` is the id of the stream entry a fact came from, so that the commit can remove it.
"""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.question import Question
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task


class Event(Struct, frozen=True, array_like=True, gc=False):
    """Base of all inputs."""


class EpochBegan(Event, frozen=True, tag="epoch"):
    """A leader took over; first event of its epoch. Carries the configuration it runs with, and its version."""

    epoch: int
    owner: str
    settings: EngineSettings
    version: str = ""  # of the package; empty: from before it was written down


class TaskSubmitted(Event, frozen=True, tag="submitted"):
    """A task waits in its priority's queue stream."""

    task: Task
    entry: str
    attempts: int = 0  # it had before, if it was a dead letter that was sent again: the next one is higher
    traceparent: str = ""  # only if its trace is sampled


class TaskReclaimed(Event, frozen=True, tag="reclaimed"):
    """A dispatched task went back to the reclaimed queue (`q:r`)."""

    task_id: str
    attempt: int
    worker: str
    reason: Reason
    started: bool
    entry: str


class TaskRefused(Event, frozen=True, tag="refused"):
    """An entry of a queue or fact stream could not be understood; it is dead-lettered and removed."""

    stream: str
    entry: str
    task_id: str  # empty if not even that could be read
    reason: Reason
    detail: str


class TaskFinished(Event, frozen=True, tag="finished"):
    """A run ended for good and was accepted."""

    task_id: str
    attempt: int
    worker: str
    outcome: Outcome
    run_ms: float
    queue_ms: float
    result_bytes: int
    cpu_ms: float = 0.0  # processor time, 0 if it was not measured
    memory_bytes: int = 0  # the most it held at once, 0 if it was not measured


class TaskVanished(Event, frozen=True, tag="vanished"):
    """A worker was refused a start because the store knows no such task: only its pointer was left."""

    task_id: str
    attempt: int
    worker: str


class CancelRequested(Event, frozen=True, tag="cancel"):
    """Somebody wants the task not to run, or to stop."""

    task_id: str
    reason: str = ""  # its submitter need not say why
    actor: str = ""


class WorkerJoined(Event, frozen=True, tag="joined"):
    """A worker registered; a higher incarnation of a known worker replaces the former one."""

    worker: str
    incarnation: int
    slots: int
    worker_class: str
    labels: dict[str, str] = {}
    taints: tuple[str, ...] = ()
    resources: dict[str, float] = {}
    silence_ms: int = 0  # how long it may be silent; 0: as long as the scheduler waits for others


class WorkerReported(Event, frozen=True, tag="reported"):
    """A capacity report of a live worker."""

    worker: str
    incarnation: int
    draining: bool
    running: int
    queued: int
    cpu: float | None = None
    memory: float | None = None
    network_bytes_s: float | None = None
    shared: bool = False  # what `cpu` says is not weighed
    labels: dict[str, str] | None = None  # None: as before
    resources: dict[str, float] | None = None


class WorkerLeft(Event, frozen=True, tag="left"):
    """A worker said good-bye, or was declared lost; what it held has gone to the reclaimed queue."""

    worker: str
    incarnation: int
    lost: bool


class WorkerSuspected(Event, frozen=True, tag="suspected"):
    """A worker's heartbeat is late: no new tasks until it is heard of again."""

    worker: str


class WorkerTrusted(Event, frozen=True, tag="trusted"):
    """A suspected worker was heard of again."""

    worker: str


class WorkerCordoned(Event, frozen=True, tag="cordoned"):
    """An operator wants no new tasks on a worker; with `drain` also what it has not started goes back."""

    worker: str
    drain: bool
    reason: str
    actor: str


class WorkerResumed(Event, frozen=True, tag="resumed"):
    """An operator lets a worker take tasks again, whatever had stopped it (cordon, drain, open breaker)."""

    worker: str
    reason: str
    actor: str


class WorkerTripped(Event, frozen=True, tag="tripped"):
    """An operator opens a worker's breaker."""

    worker: str
    reason: str
    actor: str


class WorkerEvicted(Event, frozen=True, tag="evicted"):
    """An operator wants a worker empty: nothing new, what it has not started goes back, what it runs gives way."""

    worker: str
    reason: str
    actor: str


class TasksPaused(Event, frozen=True, tag="paused"):
    """An operator wants no tasks of a type handed out; an empty type is the whole pool."""

    task_type: str
    reason: str
    actor: str


class TasksResumed(Event, frozen=True, tag="unpaused"):
    """They are handed out again."""

    task_type: str
    reason: str
    actor: str


class TaskBoosted(Event, frozen=True, tag="boosted"):
    """Somebody gives a waiting task another priority."""

    task_id: str
    priority: int
    reason: str
    actor: str


class TaskReassigned(Event, frozen=True, tag="reassigned"):
    """Somebody wants a task on a certain worker; an empty one is any but the one that has it."""

    task_id: str
    worker: str
    reason: str
    actor: str


class RetryRequested(Event, frozen=True, tag="retry"):
    """Somebody does not want a task to wait for its retry, or its delay, any longer."""

    task_id: str
    reason: str
    actor: str


class QuestionAsked(Event, frozen=True, tag="asked"):
    """Somebody wants to know what only the engine knows; the answer is the effect `Answered` of the same turn."""

    reply: str
    question: Question


class StoreChanged(Event, frozen=True, tag="store"):
    """The shell found other writes than it left: another server, or one started again; `to_seq` may lie behind."""

    was: str  # id of the history of writes, as the server names it; empty: unknown
    now: str
    from_seq: int  # the furthest turn that was known
    to_seq: int  # the last one there is


class ModeChanged(Event, frozen=True, tag="mode"):
    """An operator chose how workers are picked. `mode` is one of `settings.MODES`."""

    mode: str
    reason: str = ""
    actor: str = ""


class SettingsChanged(Event, frozen=True, tag="settings"):
    """The configuration was read again while a leader leads; it counts from this turn on."""

    settings: EngineSettings
    actor: str


class ReloadRequested(Event, frozen=True, tag="reload"):
    """Somebody wants the leader to read its configuration again; if it differs, `SettingsChanged` follows."""

    reason: str
    actor: str


class PredictorOverran(Event, frozen=True, tag="overran"):
    """Measured by the shell: predictions went over their budget, `fallback_threshold` times in a row."""

    spent_us: float
    predictor: str = ""  # whose; empty: of the active one


class PredictorChosen(Event, frozen=True, tag="predictor"):
    """An operator chose who predicts, or (`shadow`) who learns beside it; an empty shadow ends that."""

    name: str
    shadow: bool = False
    reason: str = ""
    actor: str = ""


class EstimatePinned(Event, frozen=True, tag="pinned"):
    """People know better for a while: a value or a factor for all tasks of a type."""

    task_type: str
    value_ms: float | None
    factor: float
    until_ms: int
    reason: str
    actor: str


class EstimateUnpinned(Event, frozen=True, tag="unpinned"):
    """A pinned estimate ends before its time."""

    task_type: str
    reason: str = ""
    actor: str = ""


class OverrideAdded(Event, frozen=True, tag="override"):
    """People decide for a while where a task, or all tasks of a type, may run, or how urgent they are.

    It takes the place of the one with the same scope and effect; of `avoid` there may be one for each worker.
    """

    scope: str  # "type" or "task"
    subject: str  # the type, or the task's id
    effect: str  # "pin", "avoid" or "priority"
    target: str  # the worker of a pin, or to avoid; else empty
    levels: int  # of priority: by how many it is raised, or lowered
    until_ms: int
    reason: str
    actor: str


class OverrideRemoved(Event, frozen=True, tag="unoverride"):
    """An override ends before its time."""

    scope: str
    subject: str
    effect: str
    target: str  # of `avoid`
    reason: str
    actor: str


AnyEvent = (
    EpochBegan
    | TaskSubmitted
    | TaskReclaimed
    | TaskRefused
    | TaskFinished
    | TaskVanished
    | CancelRequested
    | WorkerJoined
    | WorkerReported
    | WorkerLeft
    | WorkerSuspected
    | WorkerTrusted
    | WorkerCordoned
    | WorkerResumed
    | WorkerTripped
    | WorkerEvicted
    | TasksPaused
    | TasksResumed
    | TaskBoosted
    | TaskReassigned
    | RetryRequested
    | QuestionAsked
    | StoreChanged
    | ModeChanged
    | SettingsChanged
    | ReloadRequested
    | PredictorOverran
    | PredictorChosen
    | EstimatePinned
    | EstimateUnpinned
    | OverrideAdded
    | OverrideRemoved
)
