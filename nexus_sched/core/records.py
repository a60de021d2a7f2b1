"""The mutable records of the core: one per live task, one per live worker.

A live task is in exactly one place: it waits (a queue stream holds its pointer) or it is placed (one
inbox does). `TaskRecord.place` says which.

A pool may hold hundreds of thousands of tasks that wait, and a few thousand that are placed. So a record has only what
every waiting task needs; what a placed one needs besides is its `Booking`, and what not every task has been through is
its `History`. Both are made when there is something to keep (decision 0043).
"""

from __future__ import annotations

from msgspec import Struct, structs

from nexus_sched._kernel.pace import WorkerPace
from nexus_sched.core.pace import PaceDrift, SlowedPace
from nexus_sched.core.worker_breaker import WorkerBreaker
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.task import Task


class Booking(Struct, array_like=True, gc=False, eq=False):
    """What is known of a task while a worker has it. It stays with the record until the task waits again."""

    booked_ms: float = 0.0  # work booked on the worker
    prediction: TaskPrediction | None = None  # for this very worker
    pace: float = 1.0  # the worker's pace that the prediction was multiplied by
    shadow: str = ""  # the predictor in the shadow that said `shadow_p50_ms`, empty without
    shadow_p50_ms: float = -1.0
    due_ms: int = 0  # when it counts as overdue, 0 without a prediction
    placed_ms: int = 0  # when it was expected to start
    overdue: bool = False  # has run longer than was predicted
    straggled_ms: float = 0.0  # how long it had run when it was said to take far too long, 0 if it was not
    other_at_ms: int = 0  # when the best of the other workers had promised an end, 0 if there was none
    charged_ms: float = -1.0  # worker time its tenant was charged for it, -1 if nothing was
    cancelled: bool = False  # nobody wants it any more
    stop_entry: str = ""  # the control message that asks to stop it, if any
    gives_way: int = -1  # priority of the task in whose favour it was told to stop, -1 if it was not
    spare: str = ""  # a pointer in `q:r` that a lost copy left, for the case that this run never began
    copied: bool = False  # it began as a copy
    copy_at_ms: int = 0  # when a copy of it should be considered, 0 for never
    together: bool = False  # another task that had lost a worker was there as well


class History(Struct, array_like=True, gc=False, eq=False):
    """What a task has been through, or was told to wait for."""

    starts: int = 0  # attempts known to have been started and not finished
    deaths: int = 0  # workers whose loss while running it counts against it, see `core.suspects`
    retries: int = 0  # runs that failed and were followed by another attempt
    attempts: int = 0  # highest attempt ever given, if that was a copy's
    avoid: str = ""  # the worker where it failed or was taken from; another one is better
    moves: int = 0  # times it was taken back to be placed better
    recalled: int = 0  # the attempt that was asked back to be placed better
    preemptions: int = 0  # times it gave way to a more urgent task
    preempted_at_ms: int = 0  # the last time
    not_before_ms: int = 0  # waiting: it may not be placed earlier (delay, back-off); 0: at once
    reserve_at_ms: int = 0  # waiting: refused by all open workers, it may hold one from then on; 0: not refused yet
    held: bool = False  # waiting: people want it to stand aside (a pause, a wish for a worker)
    own: Task | None = None  # the task as it was submitted, while overrides make another one of it


NO_HISTORY = History()  # to read from; whoever writes asks for `TaskRecord.remembered`


class TaskRecord(Struct, array_like=True, gc=False, eq=False):
    """A live task and where it is. A snapshot writes records as they are, so the order of the fields is a format."""

    task: Task
    place: str  # the queue stream, e.g. "q:5", or the inbox, "i:<worker>"
    entry: str  # id of its pointer there
    attempt: int = 0  # number of the newest dispatch, 0 before the first
    key: float = 0.0  # waiting: its order key in the backlog
    ticket: int = 0  # waiting: its valid place in the backlog, older ones are stale; 0 while placed
    mean_ms: float = -1.0  # predicted mean service time, -1 without a prediction; placed: on the class of its worker
    counted: bool = False  # placed: limits count it
    booking: Booking | None = None  # placed
    history: History | None = None

    @property
    def waiting(self) -> bool:
        """Whether a queue stream holds it."""
        return self.place.startswith("q")

    @property
    def worker(self) -> str:
        """The worker whose inbox holds it; empty while it waits."""
        return "" if self.waiting else self.place[2:]

    @property
    def booked(self) -> Booking:
        """The booking of a placed task."""
        booking = self.booking
        assert booking is not None, "a task that is placed has been booked"
        return booking

    @property
    def past(self) -> History:
        """What it has been through, to be read."""
        history = self.history
        return NO_HISTORY if history is None else history

    def remembered(self) -> History:
        """The same, to be written."""
        history = self.history
        if history is None:
            history = self.history = History()
        return history


class Cordon(Struct, array_like=True):
    """What an operator decided of a worker; it holds for the name, through restarts, until it is resumed."""

    drain: bool
    reason: str
    actor: str
    at_ms: int


class WorkerRecord(WorkerPace):
    """A live worker: what the fallback policies see (`fallback.candidate`); its pace is learned by the kernel."""

    __slots__ = (
        "accepting",
        "breaker",
        "broken",
        "bucket_until_ms",
        "class_index",
        "cordoned",
        "credit",
        "draining",
        "heard_at_ms",
        "in_flight",
        "incarnation",
        "labels",
        "load_at_ms",
        "name",
        "placed",
        "ramp",
        "ramp_from_ms",
        "resources",
        "row",
        "runs",
        "runs_before",
        "silence_ms",
        "slots",
        "slowed",
        "suspect",
        "taints",
        "trial",
        "used",
        "worker_class",
    )

    def __init__(self, name: str, row: int, slots: int, worker_class: str, incarnation: int) -> None:
        self.name = name
        self.row = row
        self.slots = slots
        self.worker_class = worker_class
        self.incarnation = incarnation
        self.credit = slots
        self.accepting = True
        self.draining = False
        self.suspect = False
        self.cordoned = False  # an operator wants it to take nothing new
        self.broken = False  # its breaker is open, and counts
        self.trial = 0  # tasks it may hold while its breaker is half-open, 0: no bound
        self.ramp = 0  # the same while it starts slowly
        self.ramp_from_ms = 0  # since when it does
        self.runs = 0  # that ended in the current half of the breaker's window
        self.runs_before = 0  # in the half before that
        self.bucket_until_ms = 0  # when the current half ends
        self.breaker: WorkerBreaker | None = None  # since its first failure, until that is long past
        self.slowed: SlowedPace | None = None  # while it is taken to have become slow
        self.in_flight = 0
        self.heard_at_ms = 0
        self.labels: dict[str, str] = {}
        self.taints: tuple[str, ...] = ()
        self.resources: dict[str, float] = {}  # what it offers
        self.used: dict[str, float] = {}  # what the tasks it holds have asked for
        self.load_at_ms = 0  # when its processors were reported last
        self.silence_ms = 0  # how long it may be silent, 0: as others
        self.class_index = 0  # dense, see `core.worker_classes`
        self.placed: dict[str, TaskRecord] = {}  # by task id, oldest dispatch first

    @property
    def drift(self) -> PaceDrift | None:
        """Of a pace that may be changing: since a run that was far from its prediction."""
        sums = self.sums
        return None if sums is None else PaceDrift(*sums)

    @drift.setter
    def drift(self, value: PaceDrift | None) -> None:
        self.sums = None if value is None else structs.astuple(value)
