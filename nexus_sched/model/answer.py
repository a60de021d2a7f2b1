"""What the engine says to a question: JSON objects, told apart by `ask`. Spans in milliseconds from `at_ms` on."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from nexus_sched.model.worker import WorkerStanding, WorkerState

TASKS_SHOWN_MAX = 256  # of one worker; more only count


class Unanswered(Struct, frozen=True, tag="nothing", tag_field="ask"):
    """There is nothing to say, and why."""

    subject: str
    why: str


class FreeIn(Struct, frozen=True):
    """How long until a worker has finished what it holds."""

    p50_ms: float
    p95_ms: float


class HeldTask(Struct, frozen=True):
    """A task with a worker. Predictions are for this very worker, `None` without one."""

    task: str
    type: str
    attempt: int
    running: bool  # as far as is known: the oldest ones, as many as there are slots
    elapsed_ms: float  # since it was expected to start; 0 before that
    p50_ms: float | None
    p95_ms: float | None
    left_ms: float | None  # median of what is still to do
    overdue: bool


class BreakerStory(Struct, frozen=True):
    """Where a worker's breaker stands, and how it got there."""

    state: str  # "closed", "open" or "half-open"
    failures: int = 0  # in a row
    opened: int = 0  # times, as far as is remembered
    opens_until_ms: float = 0.0  # open: how long until it is tried again
    health_ms: float = 0.0  # what the worker is held back by in the score
    history: tuple[tuple[int, str, str], ...] = ()  # (instant, what, why), oldest first


class WorkerAnswer(Struct, frozen=True, tag="worker", tag_field="ask"):
    """What a worker has, and when it will be free."""

    worker: str
    at_ms: int
    standing: WorkerStanding
    standing_reason: str  # what an operator gave as the reason; empty if it was nobody's wish
    worker_class: str
    slots: int
    credit: int
    in_flight: int
    factor: float  # learned slowness: measured / predicted by type, 1 = average
    factor_runs: int
    booked_ms: float
    free_in_ms: FreeIn | None  # `None` if a task here has no prediction
    breaker: BreakerStory
    tasks: tuple[HeldTask, ...]  # oldest first, at most `TASKS_SHOWN_MAX`


class WorkersAnswer(Struct, frozen=True, tag="workers", tag_field="ask"):
    """Some of the workers of a shard, by name."""

    workers: tuple[WorkerState, ...]
    live: int  # all of them
    more: bool  # there are others behind the last one


class EtaAnswer(Struct, frozen=True, tag="eta", tag_field="ask"):
    """When a task will start and finish, as of now; `eta` by the names of the fields of `Eta`."""

    task: str
    state: str  # "waiting" or "placed"
    worker: str  # that has it; empty while it waits
    eta: dict[str, float | str]


MISCONFIGURED, FOR_CAPACITY, ITS_TURN = "misconfigured", "waiting for capacity", "waiting its turn"


class WhyAnswer(Struct, frozen=True, tag="why", tag_field="ask"):
    """Why a task waits, or where its decision is recorded."""

    task: str
    type: str
    at_ms: int
    state: str  # "waiting" or "placed"
    tier: str  # `MISCONFIGURED`, `FOR_CAPACITY` or `ITS_TURN`; empty for a placed task
    reason: str  # a sentence
    remedies: tuple[str, ...]  # what would change it
    funnel: dict[str, int]  # the workers of now: those open to the task, and the others by the first reason
    eta: dict[str, float | str]  # as in `EtaAnswer`
    ahead: int = 0  # tasks before it in the order, -1 if there are too many to count
    ahead_ms: float = 0.0  # their predicted work
    worker: str = ""  # placed: who has it
    attempt: int = 0
    decision: str = ""  # placed: `<seq>-<index>`, the decision in the journal
    priority: int = -1  # that it counts as now
    wished: str = ""  # waiting: the worker that people want it to run on
    delayed: bool = False  # waiting: for its retry or its delay
    recalled: bool = False  # placed: it was asked back, to be placed elsewhere
    why_not: str = ""  # if a worker was asked about: why the task is not there
    overrides: tuple[str, ...] = ()  # that bind it, with who decided them and why
    own_priority: int = -1  # without overrides


Answer = Unanswered | WorkerAnswer | WorkersAnswer | EtaAnswer | WhyAnswer

encode_answer = msgspec.json.Encoder().encode
decode_answer = msgspec.json.Decoder(Answer).decode
