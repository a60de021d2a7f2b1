"""What the shell needs of a store, as protocols. Adapters implement them; nothing here does I/O.

One shard is one hash tag, one ordered journal, one leader. The three protocols are the three parties of
the shard's protocol (docs/reference/protocol.md): the leader, a worker, a submitter. Every method may
raise the `StoreError` family; after `StoreUnreachable` it is unknown whether a write was applied.
`nexus_sched.testing.conformance` exercises any implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from msgspec import Struct

from nexus_sched.errors import StoreError
from nexus_sched.model.outcome import Acceptance, Outcome, Reason, Receipt
from nexus_sched.model.store_state import History, StoreHealth

PRIORITY_STREAMS = tuple(f"q:{priority}" for priority in range(10))
RECLAIMED_STREAM = "q:r"
FACT_STREAMS = ("res", "rep", "cmd")
INPUT_STREAMS = (RECLAIMED_STREAM, *FACT_STREAMS, *reversed(PRIORITY_STREAMS))  # read in this order

REAP_TASKS_MAX = 100
SUBMIT_TASKS_MAX = 256
LETTERS_MAX = 256  # dead letters in one call
EXPORT_TURNS_MAX = 100_000  # that may be kept for an exporter: one that died must not fill the memory
ANSWER_TTL_S = 60  # nobody waits longer for an answer

# One stream entry as it was read: [entry id, [field, value, field, value, ...]], all bytes.
RawEntry = Sequence[object]
# What one read gave: (stream suffix, its new entries in order), in the order of INPUT_STREAMS.
RawBatch = list[tuple[str, list[RawEntry]]]


class SequenceMismatch(StoreError):
    """The journal is not where the leader believes: a reply was lost, or the store went back in time."""

    code = "SEQUENCE_MISMATCH"

    def __init__(self, seq: int) -> None:
        super().__init__(f"the journal is at {seq}")
        self.seq = seq


class Lease(Struct, frozen=True):
    """The right to lead a shard. Valid while `(epoch, nonce)` is what the store holds."""

    epoch: int
    owner: str
    nonce: str
    seq: int  # the journal's sequence when it was taken


class LeaseSeen(Struct, frozen=True):
    """Somebody else's lease as it was observed; unchanged for a whole lease time means: free."""

    epoch: str
    counter: str
    owner: str = ""


class DispatchLine(NamedTuple):
    """One move into an inbox. The k-th one of the commit of seq s gets the inbox entry `<s>-<k>`."""

    worker: str
    task_id: str
    attempt: int


class StopLine(NamedTuple):
    """One control message into an inbox: `stop` ends a task there, `preempt` wants it back in favour of another."""

    worker: str
    task_id: str
    attempt: int
    control: str = "stop"


class EndLine(NamedTuple):
    """One task that ends in this commit without a result: a dead letter, or cancelled while queued."""

    dead: bool
    task_id: str  # empty for a malformed entry without one
    attempt: int
    reason: Reason
    worker: str
    detail: str


class RetractLine(NamedTuple):
    """One unstarted task to take back from an inbox into the reclaimed queue."""

    worker: str
    inbox_entry: str
    task_id: str
    attempt: int


class EstimateLine(NamedTuple):
    """When a task will start and finish: kept with its record and announced, if it still lives."""

    task_id: str
    eta: bytes  # an encoded `Eta`


class AnswerLine(NamedTuple):
    """What the engine says to a question; it waits on the list of `reply` for `ANSWER_TTL_S`."""

    reply: str
    blob: bytes


class CommitPlan(Struct):
    """Everything one turn writes, in the order in which the store applies it."""

    turn: bytes
    trims: dict[str, str]  # stream suffix -> lowest entry id that stays
    removals: dict[str, list[str]]  # stream suffix -> entries to delete
    dispatches: list[DispatchLine]
    ends: list[EndLine]
    retracts: list[RetractLine]
    stops: list[StopLine]  # control messages; they follow the dispatches in the numbering
    estimates: list[EstimateLine] = []
    answers: list[AnswerLine] = []


class Reaped(Struct, frozen=True):
    """Answer of `reap`: `alive` means a heartbeat came in between and nothing was done."""

    alive: bool
    moved: int = 0
    left: int = 0  # entries still in the inbox: call again


class LeaderStore(Protocol):
    """The leader's side of one shard."""

    async def open(self) -> None:
        """Connect, check that the server is suitable, install the function library if it is missing."""

    async def close(self) -> None:
        """Close all connections. Never raises."""

    async def acquire(self, owner: str, nonce: str, seen: LeaseSeen | None) -> Lease | LeaseSeen:
        """Take the lease if it is free, one's own, or still exactly as `seen`."""

    async def renew(self, lease: Lease) -> None:
        """Show that the leader lives. Raises `Fenced` if the lease is somebody else's."""

    async def release(self, lease: Lease) -> None:
        """Give the lease back at a graceful stop; the next `acquire` succeeds at once."""

    async def read(self, cursors: Mapping[str, str], count: int, block_ms: int) -> RawBatch:
        """New entries behind `cursors` (stream suffix -> last id), at most `count` a stream.

        Waits up to `block_ms` for the first one. Returns an empty list if none came.
        """

    def commit(self, lease: Lease, seq: int, plan: CommitPlan) -> Awaitable[int]:
        """Apply `plan` on top of `seq`; gives `seq + 1`. Sent at once, so commits may be pipelined.

        Raises `Fenced`, `SequenceMismatch`, or a `StoreError`, after which nothing or all was applied.
        """

    async def sequence(self) -> int | None:
        """The journal's sequence, `None` if the shard has no state at all."""

    async def heartbeats(self) -> dict[str, int]:
        """Live workers and their heartbeat counters. Only a change of a counter means anything."""

    async def reap(self, lease: Lease, worker: str, beat: int, limit: int) -> Reaped:
        """Declare a worker lost whose counter still is `beat`, and reclaim up to `limit` of its tasks."""

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` turns `(seq, blob)` behind sequence `after`, in order."""

    async def snapshots(self) -> list[tuple[int, bytes]]:
        """The kept snapshots `(seq, blob)`, newest first."""

    async def save_snapshot(self, lease: Lease, seq: int, blob: bytes) -> None:
        """Keep a snapshot of the state after turn `seq`; the journal is cut behind the one before it.

        Nothing happens if one of a later turn is kept already. Raises `SequenceMismatch` if there is no such turn yet.
        """

    async def offer_snapshot(self, seq: int, turn: bytes, blob: bytes) -> bool:
        """As `save_snapshot`, by whoever has no lease. `False`: not kept.

        It is kept only if `turn` is what the journal holds as turn `seq`, which proves that the state is one of this
        history, and only if there is no snapshot as new.
        """

    async def hold_journal(self, seq: int, turns_max: int) -> int:
        """Keep up to `turns_max` turns behind `seq` for an exporter (0: none); gives the first that is there."""

    async def newest_snapshot(self) -> int:
        """The turn of the newest snapshot, 0 if there is none."""

    async def health(self) -> StoreHealth:
        """How the server does what was promised."""

    async def history(self) -> History:
        """Whose writes the store holds, which is noted, and what was noted before. Only whoever leads asks."""

    async def write_frame(self, blob: bytes, drain_tasks_s: float = 0.0) -> None:
        """Replace the picture of the state that status pages read.

        `drain_tasks_s`, 0 for unknown, is how fast the queue is predicted to drain: from it `submit` tells when to try.
        """


class CompletionLine(NamedTuple):
    """One finished run, as a worker reports it. `fact` is the encoded `Completion`."""

    task_id: str
    attempt: int
    inbox_entry: str
    final: bool  # False: another attempt is wanted
    outcome: Outcome
    fact: bytes
    result: bytes
    told: bool = False  # it had been taken, and its end announced, before the store perhaps forgot it


class StartLine(NamedTuple):
    """One task a worker is about to start."""

    task_id: str
    attempt: int
    inbox_entry: str


class StepReply(NamedTuple):
    """Answer of `step`: a receipt per completion, an envelope (or `None`: refused) per start.

    An envelope is 4 bytes of length (big endian), the encoded `TaskSpec`, the payload.
    """

    receipts: list[Receipt]
    envelopes: list[bytes | None]


class InboxItem(NamedTuple):
    """One entry of an inbox. `control` is empty for a task, else see `StopLine`."""

    entry: str
    control: str
    task_id: str
    attempt: int


class WorkerStore(Protocol):
    """A worker's side of one shard."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close all connections. Never raises."""

    async def register(self, worker: str, offer: bytes) -> int:
        """Announce a new incarnation and get its number. `offer` is an encoded `WorkerOffer`."""

    async def step(
        self,
        worker: str,
        incarnation: int,
        report: bytes,
        completions: Sequence[CompletionLine],
        starts: Sequence[StartLine],
    ) -> StepReply:
        """Results, next starts and heartbeat in one call. `report` may be empty.

        Raises `Fenced` if the incarnation is not the live one: register again.
        """

    async def leave(self, worker: str, incarnation: int) -> int:
        """Say good-bye; what is still in the inbox is reclaimed. Gives how many. Raises `Fenced`."""

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> list[InboxItem]:
        """Entries behind `after` ("0-0" for all). Waits up to `block_ms` for the first one."""


REPORT_WORKERS_MAX = 256  # in one call


class ReporterStore(Protocol):
    """The side of whoever reports for many workers."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close all connections. Never raises."""

    async def report(self, workers: Sequence[tuple[str, int]], pack: bytes) -> Sequence[bool | StoreError]:
        """A sign of life of up to `REPORT_WORKERS_MAX` workers, each with its incarnation.

        `pack` is an encoded list of `PackedReport`, of those among them that have something new to say, or empty.
        `False` for each that has to register again; an error for each whose shard does not answer while others do.
        """


class SubmitLine(NamedTuple):
    """One task to submit. `spec` is the encoded `TaskSpec`."""

    task_id: str
    priority: int
    spec: bytes
    payload: bytes


class Answers(list[Acceptance]):
    """What `submit` answered, a line each; if one is BUSY, `retry_after_ms` is when there will be room for all."""

    __slots__ = ("retry_after_ms",)

    def __init__(self, answers: Iterable[Acceptance] = (), retry_after_ms: int | None = None) -> None:
        super().__init__(answers)
        self.retry_after_ms = retry_after_ms  # predicted; `None` if nobody knows


class LetterKey(NamedTuple):
    """One dead letter, and whose it is: both have to be right for anything to be done to it."""

    entry: str
    task_id: str  # empty for what had no id that could be read


class DeadLetter(NamedTuple):
    """Why a task will not run again, as it stands in the stream of dead letters."""

    entry: str
    task_id: str
    attempt: int
    reason: str
    worker: str
    detail: str

    @property
    def key(self) -> LetterKey:
        """What names it."""
        return LetterKey(self.entry, self.task_id)


class Redrive(Enum):
    """What became of one dead letter that was to be sent again. The values are the protocol's codes."""

    QUEUED = 1
    REPEATED = 2  # this very letter was sent again before: the reply had been lost
    GONE = 0  # there is no such letter
    NOT_DEAD = -1  # it names no task, or one that is not dead
    PAYLOAD_LOST = -2
    BUSY = -3  # a bound of the queue is reached


class Operation(NamedTuple):
    """One call by which an operator changed something by hand. `kind` is `redrive` or `purge`."""

    at_ms: int
    kind: str
    letters: int  # how many it changed
    reason: str
    actor: str


class TaskRecord(NamedTuple):
    """Where a task stands. `state` is one of Q(ueued) R(unning) F(inished) D(ead) C(ancelled)."""

    state: str
    outcome: str  # the `Outcome` of a finished task, the `Reason` of a dead one, else empty
    attempt: int
    worker: str
    decision: str = ""  # `<seq>-<index>` of the decision that gave it to the worker, as the worker said


ESTIMATED = "eta"  # stands in the place of an outcome: not the end of the task, but an encoded `Eta`


class Ended(NamedTuple):
    """The announced end of a task, or an estimate of it (outcome `ESTIMATED`).

    `result` is `None` if it is too large to travel along.
    """

    task_id: str
    outcome: str
    result: bytes | None


class AuditHead(NamedTuple):
    """The newest record of the audit trail: its number, from 1 on, and its digest."""

    number: int
    digest: str


class AuditLine(NamedTuple):
    """One record of the audit trail as it is kept. What it says is `nexus_sched.control.record`."""

    number: int
    record: bytes
    digest: str
    signature: str  # empty if it was written without a key


class AuditStore(Protocol):
    """Where the trail of what people changed is kept: records are appended, and never changed."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close all connections. Never raises."""

    async def head(self) -> AuditHead:
        """The newest record's number and digest; 0 and empty before the first."""

    async def append(self, former: AuditHead, line: AuditLine, kept: int) -> AuditHead:
        """Append behind `former`, and keep the newest `kept` records.

        The answer is the newest record. If it is not this one, somebody else came before, and nothing was written.
        """

    async def records(self, after: int, count: int) -> list[AuditLine]:
        """Up to `count` records behind number `after`, in order."""


class SubmitterStore(Protocol):
    """A submitter's side of one shard, or of a whole pool (`nexus_sched.sharding.submitter`)."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close all connections. Never raises."""

    async def each_shard(self) -> Sequence[SubmitterStore]:
        """A store for each shard, opened and in order; just this one if it is of one shard."""

    async def of_task(self, task_id: str) -> SubmitterStore:
        """The store of the shard in which a task is, or would be."""

    async def submit(self, lines: Sequence[SubmitLine], reply: str) -> Answers:
        """Submit up to `SUBMIT_TASKS_MAX` tasks. `reply` names the channel for their ends, or is empty."""

    async def record(self, task_id: str) -> TaskRecord | None:
        """Where a task stands, `None` if it is not known (any more)."""

    async def result(self, task_id: str) -> bytes | None:
        """The kept result, `None` if there is none (any more)."""

    async def command(self, blob: bytes) -> None:
        """Append an encoded command for the leader: of the shard that it concerns, or of each."""

    async def answer(self, reply: str, timeout_ms: int) -> bytes | None:
        """The next answer on the list of `reply`, `None` if none came in time. May be called concurrently."""

    async def eta(self, task_id: str) -> bytes | None:
        """The newest `Eta` that was told of a task, encoded; `None` if there is none (any more)."""

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` turns `(seq, blob)` behind sequence `after` that are still kept, in order.

        Raises `InvalidInput` if there are several shards: each has a journal of its own.
        """

    async def frame(self) -> bytes | None:
        """The newest picture of the state, `None` if no leader ever wrote one."""

    async def dead_letters(self, after: str, count: int) -> list[DeadLetter]:
        """Up to `count` dead letters behind entry `after` ("0-0" for all), oldest first.

        A few more if several shards have one of the same entry: all of these are given together.
        """

    async def redrive(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[Redrive]:
        """Send up to `LETTERS_MAX` dead tasks again; after a lost reply the same call is safe."""

    async def purge(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[bool]:
        """Remove up to `LETTERS_MAX` dead letters with their tasks; `False` for what was not there."""

    async def operations(self, count: int) -> list[Operation]:
        """The newest redrives and purges, newest first; at most 1,000 are kept."""

    async def payload(self, task_id: str, length: int | None = None) -> bytes | None:
        """The envelope of a task, see `StepReply`, or its first `length` bytes; `None` if there is none (any more)."""

    def ended(self, reply: str) -> AsyncIterator[Ended]:
        """Ends announced on `reply`, from now on. An announcement can be lost: `record` is the truth.

        The first `__anext__` returns only once the subscription stands if nothing ended before;
        implementations offer `subscribed(reply)` to wait for that.
        """

    async def subscribed(self, reply: str) -> None:
        """Returns once `ended(reply)` will see everything announced from now on."""
