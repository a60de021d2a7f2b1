"""Random scripts of port calls, told so that two implementations can be asked the very same thing.

An operation is a function of a `Player`; ids that a stream chooses are named by position, everything else is
concrete. The generator looks at the state in memory to ask mostly for what makes sense, and now and then for
what does not.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from nexus_sched.adapters.memory import MemoryShard
from nexus_sched.adapters.memory.stream import format_entry_id
from nexus_sched.errors import NexusError
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.runtime.ports import (
    INPUT_STREAMS,
    AnswerLine,
    CommitPlan,
    CompletionLine,
    DispatchLine,
    EndLine,
    EstimateLine,
    Lease,
    LeaseSeen,
    LetterKey,
    RetractLine,
    SequenceMismatch,
    StartLine,
    StopLine,
    SubmitLine,
)
from nexus_sched.testing.conformance import Stage

WORKERS = ("w0", "w1", "w2")
TASKS = tuple(f"t{number}" for number in range(8))
REPLIES = ("x0", "x1")
STREAMS = ("q:4", "q:5", "q:r")
LENGTH_MAX = 4
BYTES_MAX = 40

Answer = Any  # compared for equality, printed on a difference
Operation = tuple[str, Callable[["Player"], Awaitable[Answer]]]


class Player:
    """One implementation, and what it was told before that later operations refer to."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.leases: list[Lease] = [Lease(0, "nobody", "none", 0)]
        self.seen: dict[str, LeaseSeen] = {}

    async def open(self) -> None:
        """One more submitter, with bounds that are reached soon."""
        self.submitter = await self.stage.bounded_submitter(length_max=LENGTH_MAX, bytes_max=BYTES_MAX)

    async def play(self, operation: Operation) -> Answer:
        """The answer, or the error's type and what it tells."""
        try:
            return await operation[1](self)
        except SequenceMismatch as mismatch:
            return ("SequenceMismatch", mismatch.seq)
        except NexusError as error:
            return type(error).__name__

    async def nth(self, stream: str, position: int) -> str:
        """The entry at a position of a stream (of its length), or one that is not there."""
        entries = await self.stage.entries(stream)
        return entries[position % len(entries)][0] if entries else "1-1"

    async def acquire(self, owner: str, nonce: str) -> Answer:
        """Take the lease with what this owner saw last."""
        answer = await self.stage.leader.acquire(owner, nonce, self.seen.get(owner))
        if isinstance(answer, Lease):
            self.leases.append(answer)
        else:
            self.seen[owner] = answer
        return answer

    async def commit(self, lease: int, seq: int, plan: CommitPlan, removals: dict[str, list[int]], trim: int) -> Answer:
        """`plan` with entries named by position filled in."""
        named = {stream: [await self.nth(stream, at) for at in positions] for stream, positions in removals.items()}
        trims = {"rep": await self.nth("rep", trim)} if trim >= 0 else {}
        whole = CommitPlan(plan.turn, trims, named, plan.dispatches, plan.ends, plan.retracts, plan.stops)
        whole.estimates, whole.answers = plan.estimates, plan.answers
        return await self.stage.leader.commit(self.leases[lease], seq, whole)

    async def redrive(self, other: str) -> Answer:
        """The two oldest dead letters, twice, as after a lost reply; with `other` the first under that name."""
        keys = await self._letters(2, other)
        return [await self.submitter.redrive(keys, "why", "me") for _ in range(2)] if keys else []

    async def purge(self, other: str) -> Answer:
        """The oldest dead letter, under the name `other` if one is given."""
        keys = await self._letters(1, other)
        return await self.submitter.purge(keys, "why", "me") if keys else []

    async def _letters(self, count: int, other: str) -> list[LetterKey]:
        keys = [letter.key for letter in await self.submitter.dead_letters("0-0", count)]
        return [LetterKey(keys[0].entry, other), *keys[1:]] if keys and other else keys

    async def everything(self) -> Answer:
        """All that the ports can show, without the ids that streams choose."""
        stage = self.stage
        return {
            "inputs": {name: [fields for _, fields in await stage.entries(name)] for name in INPUT_STREAMS},
            "inboxes": {worker: [tuple(item) for item in await stage.inbox(worker)] for worker in WORKERS},
            "dead": [fields for _, fields in await stage.dead_letters()],
            "records": {task: await stage.submitter.record(task) for task in TASKS},
            "estimates": {task: await stage.submitter.eta(task) for task in TASKS},
            "answers": [await stage.submitter.answer(reply, 0) for reply in REPLIES],
            "results": {task: await stage.submitter.result(task) for task in TASKS},
            "operations": [operation[1:] for operation in await stage.submitter.operations(100)],
            "beats": await stage.leader.heartbeats(),
            "journal": await stage.leader.journal(0, 1_000),
            "snapshots": await stage.leader.snapshots(),
            "sequence": await stage.leader.sequence(),
        }


class Writer:
    """Writes the next operation, from a seed and the state in memory."""

    def __init__(self, seed: int, shard: MemoryShard) -> None:
        self.random = random.Random(seed)
        self.shard = shard
        self.leases_count = 1
        kinds = {
            self.submit: 4, self.commit: 9, self.step: 14, self.register: 3, self.acquire: 1, self.reap: 1,
            self.leave: 1, self.renew: 1, self.release: 1, self.snapshot: 1, self.offer: 1, self.command: 1,
            self.look: 1, self.redrive: 3, self.purge: 1,
        }  # fmt: skip
        self._kinds = [kind for kind, weight in kinds.items() for _ in range(weight)]

    def next(self) -> Operation:
        """The next operation; the first one takes the lease."""
        if self.shard.seq is None:
            return self.acquire()
        if not self.shard.beats and self._likely():
            return self.register()
        name, call = self.random.choice(self._kinds)()
        return name, call

    def _likely(self) -> bool:
        return self.random.random() < 0.85

    def _lease(self) -> int:
        return -1 if self._likely() else 0

    def _items(self, worker: str) -> list[tuple[str, str, int]]:
        found = self.shard.streams[f"i:{worker}"].after((0, 0), 100)
        return [
            (format_entry_id(entry), fields[1].decode(), int(fields[3])) for entry, fields in found if fields[0] == b"i"
        ]

    def _worker(self) -> str:
        live = [worker for worker in WORKERS if worker in self.shard.beats]
        return self.random.choice(live) if live and self._likely() else self.random.choice(WORKERS)

    def _item(self, worker: str, *, running: bool = False) -> tuple[str, str, int]:
        items = self._items(worker)
        if running:
            items = [item for item in items if (task := self.shard.tasks.get(item[1])) and task.state == "R"] or items
        if items and self._likely():
            return self.random.choice(items)
        entry = self.random.choice(("1-0", "2-0", "3-1", "nonsense"))
        return entry, self.random.choice(TASKS), self.random.randint(1, 3)

    def submit(self) -> Operation:
        """A few tasks, some known already, some too many."""
        lines = [
            SubmitLine(self.random.choice(TASKS), self.random.choice((4, 5)), b"s", b"p" * self.random.randint(0, 12))
            for _ in range(self.random.randint(1, 4))
        ]
        reply = self.random.choice(("", "me"))
        return f"submit {lines}", lambda player: player.submitter.submit(lines, reply)

    def redrive(self) -> Operation:
        """Of the oldest dead letters, seldom under another task's name."""
        other = "" if self._likely() else self.random.choice(TASKS)
        return f"redrive {other}", lambda player: player.redrive(other)

    def purge(self) -> Operation:
        """Of the oldest dead letter, seldom under another task's name."""
        other = "" if self._likely() else self.random.choice(TASKS)
        return f"purge {other}", lambda player: player.purge(other)

    def acquire(self) -> Operation:
        """Two owners that take the lease from each other."""
        owner, nonce = self.random.choice("ab"), self.random.choice("mn")
        return f"acquire {owner} {nonce}", lambda player: player.acquire(owner, nonce)

    def renew(self) -> Operation:
        """With the newest lease, seldom with one that never was."""
        lease = self._lease()
        return f"renew {lease}", lambda player: player.stage.leader.renew(player.leases[lease])

    def release(self) -> Operation:
        """As `renew`."""
        lease = self._lease()
        return f"release {lease}", lambda player: player.stage.leader.release(player.leases[lease])

    def commit(self) -> Operation:
        """A turn with something of everything."""
        pick = self.random
        seq = (self.shard.seq or 0) + (0 if self._likely() else pick.choice((-1, 1)))
        removals = {stream: [pick.randrange(9)] for stream in STREAMS if pick.random() < 0.5}
        plan = CommitPlan(b"turn %d" % seq, {}, {}, [], [], [], [])
        for _ in range(pick.randint(0, 3)):
            plan.dispatches.append(self._dispatch())
        if pick.random() < 0.2:
            reason = pick.choice((Reason.CANCELLED, Reason.WORKER_KILLER))
            plan.ends.append(EndLine(pick.random() < 0.5, pick.choice((*TASKS, "")), 1, reason, "w0", "detail"))
        for _ in range(pick.choice((0, 0, 0, 1, 2))):
            worker = pick.choice(WORKERS)
            entry, task_id, attempt = self._item(worker)
            plan.retracts.append(RetractLine(worker, entry if "-" in entry else "1-0", task_id, attempt))
        if pick.random() < 0.2:
            plan.stops.append(StopLine(pick.choice(WORKERS), pick.choice(TASKS), 1))
        if pick.random() < 0.3:
            plan.estimates.append(EstimateLine(pick.choice(TASKS), b"eta at %d" % seq))
        if pick.random() < 0.2:
            plan.answers.append(AnswerLine(pick.choice(REPLIES), b"answer at %d" % seq))
        lease, trim = self._lease(), pick.choice((-1, -1, 0, 1, 2))
        return f"commit {seq} {removals} {plan}", lambda player: player.commit(lease, seq, plan, removals, trim)

    def _incarnation(self, worker: str) -> int:
        record = self.shard.workers.get(worker)
        return (record.incarnation if record else 0) - (0 if self._likely() else 1)

    def _dispatch(self) -> DispatchLine:
        queued = [task_id for task_id, task in self.shard.tasks.items() if task.state == "Q"]
        if not queued or not self._likely():
            return DispatchLine(self._worker(), self.random.choice(TASKS), self.random.randint(1, 3))
        task_id = self.random.choice(queued)
        return DispatchLine(self._worker(), task_id, max(1, self.shard.tasks[task_id].attempt_min))

    def register(self) -> Operation:
        """A new incarnation."""
        worker = self.random.choice(WORKERS)
        return f"register {worker}", lambda player: player.stage.worker.register(worker, b"offer")

    def leave(self) -> Operation:
        """Of the live incarnation, seldom of the former."""
        worker = self.random.choice(WORKERS)
        incarnation = self._incarnation(worker)
        return f"leave {worker} {incarnation}", lambda player: player.stage.worker.leave(worker, incarnation)

    def step(self) -> Operation:
        """Starts and completions of what lies in the inbox, seldom of what does not."""
        pick = self.random
        worker = self._worker()
        incarnation = self._incarnation(worker)
        completions, starts = [], []
        for _ in range(pick.randint(0, 3)):
            entry, task_id, attempt = self._item(worker, running=True)
            outcome = pick.choice((Outcome.SUCCEEDED, Outcome.FAILED))
            final, result = pick.random() < 0.7, pick.choice((b"", b"result"))
            completions.append(CompletionLine(task_id, attempt, entry, final, outcome, b"fact", result))
        for _ in range(pick.randint(0, 3)):
            entry, task_id, attempt = self._item(worker)
            starts.append(StartLine(task_id, attempt, entry))
        report = pick.choice((b"", b"report"))
        return (
            f"step {worker} {incarnation} {completions} {starts}",
            lambda player: player.stage.worker.step(worker, incarnation, report, completions, starts),
        )

    def reap(self) -> Operation:
        """With the right counter, seldom with a wrong one."""
        worker = self.random.choice(WORKERS)
        beat = self.shard.beats.get(worker, 0) + (0 if self._likely() else 1)
        limit, lease = self.random.randint(1, 4), self._lease()
        return (
            f"reap {worker} {beat} {limit}",
            lambda player: player.stage.leader.reap(player.leases[lease], worker, beat, limit),
        )

    def snapshot(self) -> Operation:
        """Of the present sequence."""
        seq, lease = self.shard.seq or 0, self._lease()
        return (
            f"snapshot {seq}",
            lambda player: player.stage.leader.save_snapshot(player.leases[lease], seq, b"state %d" % seq),
        )

    def offer(self) -> Operation:
        """Of a turn that the journal may hold."""
        seq = max(1, (self.shard.seq or 0) - self.random.randint(0, 3))
        found = self.shard.streams["ev"].after((seq - 1, 0), 1)
        turn = found[0][1][1] if found and self._likely() else b"of another history"
        return (
            f"offer {seq}",
            lambda player: player.stage.leader.offer_snapshot(seq, turn, b"offered %d" % seq),
        )

    def command(self) -> Operation:
        """A command nobody reads."""
        return "command", lambda player: player.stage.submitter.command(b"blob")

    def look(self) -> Operation:
        """All that can be seen."""
        return "everything", lambda player: player.everything()
