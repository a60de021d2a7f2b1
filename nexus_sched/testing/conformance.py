"""One suite for every implementation of the three store ports: what the shard's protocol promises.

Use it with any implementation: give `StoreFactory`, and run every coroutine function of `CASES` on a fresh
`Stage` (see tests/conformance/test_stores.py). A case is a story told through the ports only, so it holds
for servers, memory and plug-ins alike. Ids that a stream chooses are never compared, only their order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, cast

from nexus_sched.model.outcome import Acceptance, Outcome, Receipt
from nexus_sched.runtime.pool_ports import PoolStore, RegistryStore
from nexus_sched.runtime.ports import (
    INPUT_STREAMS,
    AnswerLine,
    CommitPlan,
    CompletionLine,
    DispatchLine,
    EndLine,
    EstimateLine,
    InboxItem,
    LeaderStore,
    Lease,
    RawEntry,
    ReporterStore,
    RetractLine,
    StartLine,
    StepReply,
    StopLine,
    SubmitLine,
    SubmitterStore,
    WorkerStore,
)

START = "0-0"
SHORT_MS = 20  # a wait in which nothing is expected
LONG_MS = 5_000  # a wait that ends early, because something is expected


class InspectableLeader(LeaderStore, Protocol):
    """A leader's store that can also show its dead letters."""

    async def dead_letters(self, after: str, count: int) -> list[RawEntry]:
        """Up to `count` dead letters behind entry `after`."""


class StoreFactory(Protocol):
    """Makes stores of one shard, unopened. Every call gives a new one on the same shard."""

    def leader(self) -> InspectableLeader:
        """A leader's store."""

    def worker(self) -> WorkerStore:
        """A worker's store."""

    def reporter(self) -> ReporterStore:
        """The store of whoever reports for many workers."""

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> SubmitterStore:
        """A submitter's store with these bounds."""

    def pool(self) -> PoolStore:
        """The store of what is known of the shard's pool."""

    def registry(self) -> RegistryStore:
        """The registry of replicas."""


class Entry(tuple[str, dict[str, bytes]]):
    """One raw entry, readable: (entry id, fields by name)."""

    __slots__ = ()


class Stage:
    """A shard with one store for each party, and the short words in which cases are told."""

    def __init__(self, factory: StoreFactory) -> None:
        self.factory = factory
        self.leader = factory.leader()
        self.worker = factory.worker()
        self.submitter = factory.submitter()
        self._others: list[LeaderStore | WorkerStore | ReporterStore | SubmitterStore] = []
        self._lease: Lease | None = None
        self.seq = 0

    async def __aenter__(self) -> Stage:
        await self.leader.open()
        await self.worker.open()
        await self.submitter.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for store in (self.leader, self.worker, self.submitter, *self._others):
            await store.close()

    async def bounded_submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> SubmitterStore:
        """One more submitter, with bounds; closed with the stage."""
        store = self.factory.submitter(length_max=length_max, bytes_max=bytes_max)
        self._others.append(store)
        await store.open()
        return store

    async def reporter(self) -> ReporterStore:
        """One who reports for many workers; closed with the stage."""
        store = self.factory.reporter()
        self._others.append(store)
        await store.open()
        return store

    async def other_leader(self) -> InspectableLeader:
        """One more leader's store; closed with the stage."""
        store = self.factory.leader()
        self._others.append(store)
        await store.open()
        return store

    # -- the leader's words

    @property
    def lease(self) -> Lease:
        """The lease that `lead` got."""
        assert self._lease is not None, "call lead() first"
        return self._lease

    async def lead(self, owner: str = "leader", nonce: str = "nonce") -> Lease:
        """Take the lease."""
        taken = await self.leader.acquire(owner, nonce, None)
        assert isinstance(taken, Lease), f"the lease is held: {taken}"
        self._lease, self.seq = taken, taken.seq
        return taken

    async def commit(
        self,
        *,
        turn: bytes = b"turn",
        trims: dict[str, str] | None = None,
        removals: dict[str, list[str]] | None = None,
        dispatches: Sequence[DispatchLine] = (),
        ends: Sequence[EndLine] = (),
        retracts: Sequence[RetractLine] = (),
        stops: Sequence[StopLine] = (),
        estimates: Sequence[EstimateLine] = (),
        answers: Sequence[AnswerLine] = (),
    ) -> int:
        """One commit on top of the last one."""
        plan = CommitPlan(turn, trims or {}, removals or {}, list(dispatches), list(ends), list(retracts), list(stops))
        plan.estimates, plan.answers = list(estimates), list(answers)
        self.seq = await self.leader.commit(self.lease, self.seq, plan)
        return self.seq

    async def entries(self, stream: str) -> list[Entry]:
        """All entries of an input stream."""
        batch = await self.leader.read({stream: START}, 1_000, 0)
        return [readable(entry) for _, entries in batch for entry in entries]

    async def dispatch(self, task_id: str, worker: str, attempt: int = 1) -> str:
        """Move a task from wherever it is queued into an inbox; gives the inbox entry."""
        removals = {
            stream: [entry for entry, fields in await self.entries(stream) if fields["i"] == task_id.encode()]
            for stream in INPUT_STREAMS
            if stream.startswith("q:")
        }
        assert sum(map(len, removals.values())) == 1, f"{task_id} is queued in {removals}"
        seq = await self.commit(removals=removals, dispatches=[DispatchLine(worker, task_id, attempt)])
        return f"{seq}-0"

    async def copy(self, task_id: str, worker: str, attempt: int) -> str:
        """Hand a task out that runs elsewhere already; gives the inbox entry."""
        return f"{await self.commit(dispatches=[DispatchLine(worker, task_id, attempt)])}-0"

    async def dead_letters(self) -> list[Entry]:
        """All dead letters."""
        return [readable(entry) for entry in await self.leader.dead_letters(START, 1_000)]

    # -- the submitter's words

    def lines(self, *task_ids: str, priority: int = 5, payload: bytes = b"payload") -> list[SubmitLine]:
        """What `submit` sends."""
        return [SubmitLine(task_id, priority, b"spec-" + task_id.encode(), payload) for task_id in task_ids]

    async def submit(self, *task_ids: str, priority: int = 5, payload: bytes = b"payload", reply: str = "") -> None:
        """Submit tasks, all of which have to be accepted."""
        lines = self.lines(*task_ids, priority=priority, payload=payload)
        answers = await self.submitter.submit(lines, reply)
        assert answers == [Acceptance.ACCEPTED] * len(lines), answers

    async def state(self, task_id: str) -> str:
        """The state letter of a task, empty if it is not known."""
        record = await self.submitter.record(task_id)
        return record.state if record else ""

    # -- the worker's words

    async def start(self, worker: str, incarnation: int, task_id: str, entry: str, attempt: int = 1) -> bytes | None:
        """Claim one start; gives the envelope, or `None` if it is refused."""
        reply = await self.worker.step(worker, incarnation, b"", [], [StartLine(task_id, attempt, entry)])
        return reply.envelopes[0]

    async def complete(
        self,
        worker: str,
        incarnation: int,
        task_id: str,
        entry: str,
        attempt: int = 1,
        *,
        final: bool = True,
        outcome: Outcome = Outcome.SUCCEEDED,
        result: bytes = b"result",
    ) -> Receipt:
        """Report one run."""
        line = CompletionLine(task_id, attempt, entry, final, outcome, b"fact", result)
        reply = await self.worker.step(worker, incarnation, b"", [line], [])
        return reply.receipts[0]

    async def beat(self, worker: str, incarnation: int, report: bytes = b"") -> StepReply:
        """An empty step."""
        return await self.worker.step(worker, incarnation, report, [], [])

    async def inbox(self, worker: str) -> list[InboxItem]:
        """All entries of an inbox."""
        return await self.worker.read_inbox(worker, START, 1_000, 0)


def readable(entry: RawEntry) -> Entry:
    """A raw entry with its fields by name."""
    entry_id, fields = cast("tuple[bytes, list[bytes]]", entry)
    names = [name.decode() for name in fields[::2]]
    return Entry((entry_id.decode(), dict(zip(names, fields[1::2], strict=True))))


Case = Callable[[Stage], Awaitable[None]]
CASES: list[Case] = []  # filled by the modules below, which import `case` from here


def case(function: Case) -> Case:
    """Make a coroutine function part of the suite."""
    CASES.append(function)
    return function


def all_cases() -> list[Case]:
    """Every case of the suite, in the order of the files."""
    from nexus_sched.testing import (
        cases_history,
        cases_leader,
        cases_letters,
        cases_life,
        cases_pool,
        cases_reporter,
        cases_rollback,
        cases_submitter,
        cases_worker,
    )

    assert cases_leader and cases_letters and cases_life and cases_reporter and cases_submitter and cases_worker
    assert cases_history and cases_pool and cases_rollback
    return CASES
