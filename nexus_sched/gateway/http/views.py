"""What answers carry, beyond what the command line prints as well (`nexus_sched.control.views`)."""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.client.estimate import Estimate
from nexus_sched.control.record import AuditRecord
from nexus_sched.control.views import OverrideView, WorkerRow


class Submitted(Struct, frozen=True, kw_only=True):
    """A task that is in the queue."""

    task_id: str
    duplicate: bool  # it was there already: this request, or another with its id, came before
    eta: Estimate | None  # `null` if the scheduler said nothing in time: ask `/v1/eta` later


class BatchItem(Struct, frozen=True, kw_only=True):
    """What became of one task of a batch."""

    task_id: str
    status: str  # accepted, duplicate or busy


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """What became of a batch, in the order of its tasks. Those that are busy are not in the queue: send them again."""

    accepted: int
    duplicates: int
    busy: int
    retry_after_ms: int | None
    tasks: list[BatchItem]


class TaskView(Struct, frozen=True, kw_only=True):
    """Where a task stands."""

    task_id: str
    state: str
    attempt: int
    worker: str
    eta: Estimate | None


class EtaView(Struct, frozen=True, kw_only=True):
    """When a task will start and finish, as of now; `eta` is `null` if nothing was ever told."""

    task_id: str
    eta: Estimate | None


class WorkersPage(Struct, frozen=True, kw_only=True):
    """Some of the workers, by name."""

    workers: list[WorkerRow]
    live: int  # all of them
    stale: bool  # no scheduler has painted for a while
    cursor: str | None  # for the next page


class SpreadView(Struct, frozen=True):
    """Median and tail of a distribution."""

    p50: float
    p99: float
    count: int


class StatsView(Struct, frozen=True, kw_only=True):
    """Where the pool stands."""

    pool: str
    owner: str
    epoch: int
    seq: int
    at_ms: int
    stale: bool
    mode: str
    predictor: str
    breaker: str
    queued: int
    in_flight: int
    queued_predicted_ms: float
    drain_tasks_s: float
    workers_live: int
    workers_accepting: int
    counters: dict[str, int]
    decision_us: SpreadView
    turn_us: SpreadView
    predictions: int
    predictions_within_25: float | None


class ModeView(Struct, frozen=True, kw_only=True):
    """How workers are picked, and what is paused."""

    mode: str
    paused: dict[str, str]


class OverridesView(Struct, frozen=True, kw_only=True):
    """Pinned estimates in force."""

    overrides: list[OverrideView]
    stale: bool


class Score(Struct, frozen=True, kw_only=True):
    """How right a predictor was."""

    predictions: int
    within_25: int


class PredictorsView(Struct, frozen=True, kw_only=True):
    """Who predicts, and how right each was."""

    predictor: str
    shadow: str
    breaker: str
    scores: dict[str, Score]


class LetterView(Struct, frozen=True, kw_only=True):
    """A task that will not run again unless somebody wants it to."""

    entry: str
    task_id: str
    attempt: int
    reason: str
    worker: str
    detail: str


class LettersPage(Struct, frozen=True, kw_only=True):
    """Some dead letters, oldest first."""

    letters: list[LetterView]
    cursor: str | None


class LetterAnswer(Struct, frozen=True, kw_only=True):
    """What became of one dead letter."""

    entry: str
    task_id: str
    status: str


class LettersAnswer(Struct, frozen=True, kw_only=True):
    """What became of dead letters; of a dry run, what they are."""

    dry_run: bool
    letters: list[LetterAnswer]


class AuditPage(Struct, frozen=True, kw_only=True):
    """Some records of the audit trail, oldest first."""

    records: list[AuditRecord]
    cursor: int | None
    head: int  # number of the newest record


class ConfigView(Struct, frozen=True, kw_only=True):
    """The gateway's configuration as written; passwords are masked."""

    values: dict[str, str]
    digest: str


class ReloadAnswer(Struct, frozen=True, kw_only=True):
    """What differs after the configuration was read again; what is not hot waits for the next start."""

    dry_run: bool
    changed: list[str]
    at_next_start: list[str]
