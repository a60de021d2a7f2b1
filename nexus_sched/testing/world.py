"""A whole shard in one thread: an engine, its journal, and workers that start, die, come back and repeat themselves.

Every effect is carried out by the in-memory twin of the function library, so the rules of the protocol are the
real ones. Races are made of three things: facts are read late and in any order that one read can give, up to two
commits are under way while workers go on, and the leader may die between any two turns. One seed, one history.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Mapping
from random import Random

import msgspec
from msgspec import Struct, structs

from nexus_sched.adapters.memory.shard import QUEUED, RUNNING, MemoryShard
from nexus_sched.adapters.memory.stream import format_entry_id, parse_entry_id
from nexus_sched.core.engine import Engine
from nexus_sched.core.predictors.base import PredictorFactory
from nexus_sched.errors import Fenced
from nexus_sched.model.command import CancelTask, Command, encode_command
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent, EpochBegan
from nexus_sched.model.journal import FORMAT, Turn, decode_turn, encode_turn
from nexus_sched.model.outcome import Completion, Outcome, Receipt
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Retry, TaskSpec
from nexus_sched.model.worker import WorkerOffer, WorkerReport
from nexus_sched.runtime.inputs import events_of
from nexus_sched.runtime.plan import plan_commit
from nexus_sched.runtime.ports import (
    FACT_STREAMS,
    INPUT_STREAMS,
    PRIORITY_STREAMS,
    RECLAIMED_STREAM,
    CommitPlan,
    CompletionLine,
    Lease,
    RawEntry,
    StartLine,
    SubmitLine,
)
from nexus_sched.runtime.recovery import Recovered, apply, compress, encode_checkpoint, restore_checkpoint
from nexus_sched.testing.builders import PREDICTORS
from nexus_sched.units import NS_PER_MS

TAINTED = 3  # of every four workers
LIMIT = 1_000_000  # more than anything here ever holds
_encode = msgspec.msgpack.encode


class Actor(Struct):
    """A worker process: what it runs, and what it has finished and may tell again."""

    name: str
    slots: int
    speed: float  # run times are divided by it
    incarnation: int = 0
    up: bool = False
    draining: bool = False  # it has said so since it registered
    running: dict[tuple[str, int], str] = {}  # (task, attempt) -> inbox entry
    told: list[CompletionLine] = []


class World:
    """One shard and everybody on it. Every method is one thing that can happen."""

    def __init__(
        self,
        seed: int,
        *,
        workers: int = 4,
        settings: EngineSettings | None = None,
        predictors: Mapping[str, PredictorFactory] = PREDICTORS,
    ) -> None:
        self.random = Random(seed)
        self.now_ms = 1_000
        self.shard = MemoryShard(lambda: self.now_ms)
        self.settings = settings or EngineSettings()
        self.predictors = predictors
        self.cursors = dict.fromkeys(INPUT_STREAMS, "0-0")
        self.engine = Engine(predictors)
        self.turns: list[bytes] = []
        self.under_way: deque[tuple[int, CommitPlan]] = deque()
        self.accepted: Counter[str] = Counter()  # completions that the store took, by task
        self.starts: dict[str, set[tuple[str, int]]] = {}  # task -> (worker, attempt) that ever ran it
        self.retry: dict[str, Retry] = {}
        self.idempotent: set[str] = set()
        self.reaping: dict[str, int] = {}  # workers whose inboxes are not cleared yet -> counter
        speeds = (0.5, 1.0, 2.0, 4.0)
        self.actors = [Actor(f"w{index}", 1 + index % 3, speeds[index % 4]) for index in range(workers)]
        self.lease = self._acquire()
        self.turn([EpochBegan(self.lease.epoch, "leader", self.settings)])

    def _acquire(self) -> Lease:
        lease = self.shard.acquire("leader", f"nonce-{self.shard.epoch}", None)
        assert isinstance(lease, Lease)
        return lease

    # -- the leader

    def turn(self, events: list[AnyEvent], cursors: Mapping[str, str] | None = None) -> list[AnyEffect]:
        """Handle `events`, record the turn, send its commit; it is applied some time later."""
        at_ns = self.now_ms * NS_PER_MS
        effects = self.engine.handle(events, at_ns)
        read = dict(cursors or {})
        blob = encode_turn(
            Turn(FORMAT, self.engine.seq, self.engine.epoch, at_ns, events, effects, read, self.engine.digest())
        )
        self.turns.append(blob)
        self.cursors.update(read)
        self.under_way.append((self.engine.seq - 1, plan_commit(blob, effects, read)))
        return effects

    def read(self, *, everything: bool = False) -> tuple[list[AnyEvent], dict[str, str]]:
        """What one read gives: all that was reclaimed, and of each other stream a part, or nothing."""
        streams = [*FACT_STREAMS, *PRIORITY_STREAMS]
        self.random.shuffle(streams)
        events: list[AnyEvent] = []
        cursors: dict[str, str] = {}
        for stream in (RECLAIMED_STREAM, *streams):
            some = LIMIT if everything or stream == RECLAIMED_STREAM else self.random.choice((0, 1, 3, LIMIT))
            entries: list[RawEntry] = [
                [format_entry_id(entry).encode(), fields]
                for entry, fields in self.shard.streams[stream].after(parse_entry_id(self.cursors[stream]), some)
            ]
            if entries:
                events += events_of(stream, entries)
                cursors[stream] = str(entries[-1][0], "ascii")  # type: ignore[call-overload]  # made just above
        return events, cursors

    def settle(self, left: int = 0) -> None:
        """Let the store apply commits until `left` are under way."""
        while len(self.under_way) > left:
            seq, plan = self.under_way.popleft()
            self.shard.commit(self.lease, seq, plan, publish=False)

    def lead(self, extra: list[AnyEvent] | None = None) -> list[AnyEffect]:
        """Read something and take a turn, with up to two commits under way."""
        events, cursors = self.read()
        effects = self.turn(events + (extra or []), cursors)
        self.settle(self.random.randrange(3))
        return effects

    def checkpoint(self) -> None:
        """Write a snapshot, as the turn loop does."""
        self.settle()
        blob = compress(encode_checkpoint(self.engine, self.cursors, self.now_ms * NS_PER_MS))
        self.shard.save_snapshot(self.lease, self.engine.seq, blob)

    def fail_over(self) -> None:
        """The leader dies with its unsent commits; another one recovers from snapshot and journal."""
        lost = len(self.under_way)
        self.under_way.clear()
        del self.turns[len(self.turns) - lost :]
        newest = self.shard.kept[0]
        state = (
            Recovered(Engine(self.predictors), dict.fromkeys(INPUT_STREAMS, "0-0"), 0, 0)
            if newest is None
            else restore_checkpoint(self.shard.snapshots[newest], self.predictors)
        )
        for _, fields in self.shard.streams["ev"].after((state.engine.seq, LIMIT), LIMIT):
            apply(state, decode_turn(fields[1]))
        self.engine, self.cursors = state.engine, state.cursors
        self.lease = self._acquire()
        assert self.engine.seq == self.lease.seq
        self.turn([EpochBegan(self.lease.epoch, "leader", self.settings)])

    def reap(self, name: str) -> None:
        """Declare a worker lost, or go on clearing its inbox, a few tasks at a time."""
        beat = self.reaping.get(name, self.shard.beats.get(name, 0))
        answer = self.shard.reap(self.lease, name, beat, self.random.randint(1, 3))
        if answer.alive or not answer.left:
            self.reaping.pop(name, None)
        else:
            self.reaping[name] = beat

    # -- submitters

    def submit(
        self,
        task_id: str,
        *,
        priority: int = 5,
        retry: Retry = Retry.LOST,
        hint_ms: float | None = None,
        idempotent: bool = False,
        **more: object,
    ) -> None:
        """A task of one of three types comes in; `more` are further fields of its `TaskSpec`."""
        kind = f"kind-{len(self.retry) % 3}"
        fields = {"type": kind, "hint_ms": hint_ms, "max_attempts": 4, "idempotent": idempotent, **more}
        spec = structs.replace(msgspec.convert(fields, TaskSpec), retry=retry)
        self.shard.submit([SubmitLine(task_id, priority, _encode(spec), b"x")], "", LIMIT, LIMIT)
        if idempotent:
            self.idempotent.add(task_id)
        self.retry.setdefault(task_id, retry)

    def command(self, command: Command) -> None:
        """Somebody asks the leader for something."""
        self.shard.append("cmd", b"f", encode_command(command))

    def cancel(self, task_id: str) -> None:
        """Somebody does not want this task any more."""
        self.command(CancelTask(task_id))

    # -- workers

    def register(self, actor: Actor) -> None:
        """A new incarnation; what the process still runs goes on running."""
        number = int(actor.name[1:])
        offer = WorkerOffer(
            slots=actor.slots,
            worker_class="even" if actor.slots % 2 == 0 else "odd",
            labels={"zone": "ab"[number % 2], "number": str(number)},
            taints=("kept",) if number % 4 == TAINTED else (),
            resources={"memory": 0.3 + 0.1 * (actor.incarnation % 3)} if number % 2 == 0 else {},
        )
        actor.incarnation = self.shard.register(actor.name, _encode(offer))
        actor.up, actor.draining = True, False

    def kill(self, actor: Actor) -> None:
        """The process is gone, with all that it knew."""
        actor.up = False
        actor.running, actor.told = {}, []

    def leave(self, actor: Actor) -> None:
        """It says good-bye, whatever it runs or has not begun."""
        with contextlib.suppress(Fenced):
            self.shard.leave(actor.name, actor.incarnation)
        actor.up = False

    def work(self, actor: Actor, *, share: float = 0.5, draining: bool = False) -> None:
        """One step: finish a part of what runs, start what lies in the inbox, repeat an old report at times."""
        stopped = self._stopped(actor)
        completions = [
            self._completion(key, entry, actor, stopped=stopped.get(key, b""))
            for key, entry in actor.running.items()
            if self._chance(share)
        ]
        if actor.told and self._chance(0.2):
            completions.append(self.random.choice(actor.told))
        ending = {(line.task_id, line.attempt) for line in completions}
        free = actor.slots - len(actor.running.keys() - ending)
        known = {(line.task_id, line.attempt) for line in actor.told} | actor.running.keys() | ending
        starts: list[StartLine] = []
        here = set(actor.running)
        for entry_id, fields in self.shard.streams[f"i:{actor.name}"].after((0, 0), LIMIT):
            if fields[0] == b"i":
                key = (fields[1].decode(), int(fields[3]))
                here.add(key)
                if key not in known and len(starts) < free:
                    starts.append(StartLine(*key, format_entry_id(entry_id)))
            elif (key := (fields[3].decode(), int(fields[5]))) not in here:
                # a control message whose task is not here is acknowledged
                starts.append(StartLine(*key, format_entry_id(entry_id)))
        report = _encode(self._report(draining=draining)) if draining or self._chance(0.2) else b""
        actor.draining |= draining
        try:
            reply = self.shard.step(actor.name, actor.incarnation, report, completions, starts)
        except Fenced:
            self.register(actor)  # what it runs goes on, and is told after the next step
            return
        for line, receipt in zip(completions, reply.receipts, strict=True):
            actor.running.pop((line.task_id, line.attempt), None)
            actor.told.append(line)
            self.accepted[line.task_id] += receipt in (Receipt.ACCEPTED, Receipt.LATE)
        for start, envelope in zip(starts, reply.envelopes, strict=True):
            if envelope is not None:
                actor.running[start.task_id, start.attempt] = start.inbox_entry
                self.starts.setdefault(start.task_id, set()).add((actor.name, start.attempt))

    def _report(self, *, draining: bool) -> WorkerReport:
        return WorkerReport(
            draining=draining, running=self.random.randrange(3), cpu=self.random.choice((None, 0.0, 0.9))
        )

    def _stopped(self, actor: Actor) -> dict[tuple[str, int], bytes]:
        """What control messages ask for, by task and attempt; the last one counts."""
        inbox = self.shard.streams[f"i:{actor.name}"].after((0, 0), LIMIT)
        return {(fields[3].decode(), int(fields[5])): fields[1] for _, fields in inbox if fields[0] == b"c"}

    def _completion(self, key: tuple[str, int], entry: str, actor: Actor, *, stopped: bytes) -> CompletionLine:
        if stopped == b"preempt" and self._chance(0.7):
            fact = _encode(Completion(outcome=Outcome.PREEMPTED, run_ms=1.0))
            return CompletionLine(*key, entry, False, Outcome.PREEMPTED, fact, b"")
        if stopped == b"stop" and self._chance(0.7):
            fact = _encode(Completion(outcome=Outcome.CANCELLED, run_ms=1.0))
            return CompletionLine(*key, entry, True, Outcome.CANCELLED, fact, b"")
        outcome = self.random.choices((Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT), (8, 1, 1))[0]
        final = outcome is Outcome.SUCCEEDED or self._chance(0.5)
        run_ms = self.random.uniform(1.0, 200.0) / actor.speed
        return CompletionLine(*key, entry, final, outcome, _encode(Completion(outcome=outcome, run_ms=run_ms)), b"")

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    # -- the end

    def live(self) -> list[str]:
        """Tasks that have not ended."""
        return [task_id for task_id, task in self.shard.tasks.items() if task.state in (QUEUED, RUNNING)]

    def quiesce(self, rounds_max: int = 500) -> None:
        """All faults are over: every worker is there, everything is read; until nothing is left to do."""
        for actor in self.actors:
            worker = self.engine.roster.by_name.get(actor.name)
            if not actor.up or actor.draining or worker is None or worker.suspect or self._chance(0.5):
                self.register(actor)
        for _ in range(rounds_max):
            self.now_ms = max(self.now_ms + 10, self.engine.next_due_ms or 0)
            for name in list(self.reaping):
                self.reap(name)
            events, cursors = self.read(everything=True)
            self.turn(events, cursors)
            self.settle()
            for actor in self.actors:
                self.work(actor, share=0.8)
            held = any(len(stream) for name, stream in self.shard.streams.items() if name.startswith("i:"))
            if not (held or self.live() or self.engine.tasks or self.engine.ready):
                break
        self.turn(*self.read(everything=True))
        self.settle()
