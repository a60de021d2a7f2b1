"""What must be true after every step of a shard. Broken laws are collected in words; the first one ends a run.

Steps that change nothing but a heartbeat are passed over.
"""

from __future__ import annotations

from typing import Any

from nexus_sched.adapters.memory.shard import QUEUED, RUNNING, MemoryShard
from nexus_sched.errors import NexusError
from nexus_sched.model.events import EpochBegan
from nexus_sched.model.journal import Turn, decode_turn
from nexus_sched.model.outcome import Receipt
from nexus_sched.runtime.ports import CommitPlan, CompletionLine, Lease, StartLine, StepReply
from nexus_sched.testing.checks import pointers
from tests.shell.history import Execution, History
from tests.shell.plan import TaskPlan
from tests.shell.server import Server

REMEMBERED_S = 4.5  # a worker's own time begins when the store has its report
MOVING = frozenset(("commit", "submit", "reap", "register", "leave", "redrive", "purge"))
FENCED = frozenset(("renew", "commit", "reap", "save_snapshot"))
ACCEPTING = (Receipt.ACCEPTED, Receipt.LATE)


class Laws:
    """Watches a server and the workers, and says what is wrong."""

    def __init__(self, server: Server, history: History, tasks: dict[str, TaskPlan]) -> None:
        self.broken: list[str] = []
        self.flushed = False  # everything was lost
        self.steps = 0  # of the store that were looked at
        self._server = server
        self._history = history
        self._tasks = tasks

    def _break(self, law: str) -> None:
        self.broken.append(law)

    # -- the store's steps

    def look(self, party: str, number: int | None, operation: str, args: tuple[Any, ...], answer: object) -> None:
        """A watcher of the server."""
        if number is None:
            return  # what is known of the pool as a whole decides nothing that a law holds to
        shard, refused = self._server.shards[number], isinstance(answer, NexusError)
        if operation in FENCED and not refused and not _holds(args[0], shard):
            self._break(f"{operation} of {party} had an effect without the lease")
        if operation == "commit" and not refused:
            self._committed(number, *args)
        elif operation == "register" and party.endswith(" (late)") and not refused:
            self._history.disturb(party.removesuffix(" (late)"), "is taken for restarted")
        elif operation == "step" and isinstance(answer, StepReply):
            self._stepped(party, args[3], args[4], answer)
        if (shard.seq or 0) != len(self._history.of_shard(number)):
            self._break(f"{operation} of {party} moved the journal to turn {shard.seq}")
        if not refused and (operation in MOVING or (operation == "step" and (args[3] or args[4]))):
            self.steps += 1
            self._places(f"{operation} of {party}", shard)

    def _committed(self, number: int, lease: Lease, seq: int, plan: CommitPlan) -> None:
        turn = decode_turn(plan.turn)
        turns, shard = self._history.of_shard(number), self._server.shards[number]
        if (turn.seq, seq) != (len(turns) + 1, len(turns)):
            self._break(f"turn {turn.seq} was written behind turn {len(turns)}")
        if not (turn.epoch == lease.epoch == shard.epoch) or lease.nonce != shard.nonce:
            self._break(f"turn {turn.seq} of epoch {turn.epoch} was written in epoch {shard.epoch}")
        if turns and turn.epoch < turns[-1].epoch:
            self._break(f"turn {turn.seq} is of epoch {turn.epoch}, the one before of {turns[-1].epoch}")
        if (not turns or turn.epoch != turns[-1].epoch) and not _begins_epoch(turn):
            self._break(f"turn {turn.seq} is the first of epoch {turn.epoch} and does not say so")
        turns.append(turn)
        if self.flushed and (lease.owner, number) in self._history.led:
            self._break(f"{lease.owner} goes on with turn {turn.seq} as if nothing had been lost")
        elif not self.flushed:
            self._history.led.add((lease.owner, number))

    def _stepped(self, party: str, lines: list[CompletionLine], starts: list[StartLine], reply: StepReply) -> None:
        for start, envelope in zip(starts, reply.envelopes, strict=True):
            if envelope is not None:
                self._history.claims.setdefault(start.task_id, set()).add(party.removesuffix(" (late)"))
        accepted = self._history.accepted
        process = party.removesuffix(" (late)")
        for line, receipt in zip(lines, reply.receipts, strict=True):
            if receipt is Receipt.STALE:
                self._history.unheard.add((process, line.task_id, line.attempt))
            if receipt in ACCEPTING:
                accepted[line.task_id] += 1
                if accepted[line.task_id] > 1 and not self._is_known_twice(line.task_id):
                    self._break(f"a result of {line.task_id} was accepted twice, now from {party}")
                if (
                    not any(
                        run.worker == party.removesuffix(" (late)").partition("#")[0] and run.attempt == line.attempt
                        for run in self._history.ran(line.task_id)
                    )
                    and line.outcome.value != "cancelled"
                ):
                    self._break(f"a result of {line.task_id}/{line.attempt} was accepted that nobody had produced")

    def _is_known_twice(self, task_id: str) -> bool:
        """Whether it is two tasks: once all is lost, nobody knows where an id was submitted before."""
        return self.flushed and sum(task_id in shard.tasks for shard in self._server.shards) > 1

    def _places(self, what: str, shard: MemoryShard) -> None:
        count, others = pointers(shard), [each for each in self._server.shards if each is not shard]
        for task_id, task in shard.tasks.items():
            if not self.flushed and any(task_id in each.tasks for each in others):
                self._break(f"{what}: {task_id} is known in two shards")
            if task.state not in (QUEUED, RUNNING):
                continue
            allowed = 2 if self._tasks[task_id].idempotent else 1
            if not 1 <= count[task_id] <= allowed:
                self._break(f"{what}: {task_id} is {task.state} and has {count[task_id]} pointers")
        for task_id in sorted(self.gone()):
            self._break(f"{what}: {task_id} was acknowledged and is gone")

    def gone(self) -> set[str]:
        """Tasks that were acknowledged, and that no shard knows, although none has gone back."""
        missing = self._history.acknowledged.keys() - self._history.forgiven
        for shard in self._server.shards:
            missing -= shard.tasks.keys()
        return missing

    # -- the workers' steps

    def began(self, run: Execution) -> None:
        """A function was entered."""
        history, plan = self._history, self._tasks[run.task_id]
        runs = history.executions.setdefault(run.task_id, [])
        for earlier in runs:
            same = (earlier.process, earlier.attempt) == (run.process, run.attempt)
            if same and not self._is_forgotten(earlier, run):
                self._break(f"{run.process} runs {run.task_id}/{run.attempt} again, and had told its end a moment ago")
        runs.append(run)
        free = self.flushed or run.task_id in history.forgiven or run.task_id in history.redriven
        if plan.retry.value == "never" and self._starts(runs) > 1 and not free:
            self._break(f"{run.task_id} may never be repeated and was started {len(runs)} times")
        bound = plan.attempts_max * (2 if plan.idempotent else 1)  # each start may have a copy
        counted = self._starts([each for each in runs if each.outcome != "preempted"])
        if counted > bound and not free:
            self._break(f"{run.task_id} was started {counted} times, at most {plan.attempts_max} are allowed")

    def _starts(self, runs: list[Execution]) -> int:
        """How many they are; a store that went back may take two processes of one name for the same one."""
        if self._history.faults["roll_back"]:
            return len({(each.worker, each.attempt) for each in runs})
        return len(runs)

    def _is_forgotten(self, earlier: Execution, run: Execution) -> bool:
        """Whether a worker may run it again: it remembers for a while what decided a task, for a store may go back."""
        late = earlier.ended_s is not None and run.began_s - earlier.ended_s > REMEMBERED_S
        unheard = (run.process, run.task_id, run.attempt) in self._history.unheard
        return late or unheard or earlier.outcome != "succeeded"


def _holds(lease: Lease, shard: MemoryShard) -> bool:
    """Whether it is the lease of a shard; its holder may have given it back a moment ago."""
    return (lease.epoch, lease.nonce) == (shard.epoch, shard.nonce) and shard.owner in ("", lease.owner)


def _begins_epoch(turn: Turn) -> bool:
    return bool(turn.events) and isinstance(turn.events[0], EpochBegan)
