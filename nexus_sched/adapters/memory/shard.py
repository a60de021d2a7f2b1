"""One shard in memory: its state, and the twin of every function of `nexus_v1.lua` that the ports use.

Law: same calls, same answers, same state as the library on a real server; the model-based test in
tests/conformance holds both to it. Differences, all of them on purpose: ids that a stream chooses come from
`clock_ms`, and nothing expires (results and records of ended tasks stay until the shard is dropped).
Functions are synchronous and atomic; waiting is the stores' business.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct

from nexus_sched.adapters.memory.bus import Bus
from nexus_sched.adapters.memory.stream import EntryId, EntryStream, format_entry_id, parse_entry_id
from nexus_sched.errors import Fenced, ProtocolNewer, StoreError
from nexus_sched.model.outcome import Acceptance, Outcome, Receipt
from nexus_sched.runtime.ports import (
    ESTIMATED,
    EXPORT_TURNS_MAX,
    Answers,
    CommitPlan,
    CompletionLine,
    EndLine,
    EstimateLine,
    Lease,
    LeaseSeen,
    Reaped,
    SequenceMismatch,
    StartLine,
    StepReply,
    SubmitLine,
)

QUEUED, RUNNING, FINISHED, DEAD, CANCELLED = "Q", "R", "F", "D", "C"
PROTOCOL = 1
INLINE_RESULT_BYTES_MAX = 8_192
BEATS_PER_INCARNATION = 2**32
INBOX_RECLAIM_MAX = 10_000
DEAD_LETTERS_MAX = 10_000
RETRY_MS_MIN, RETRY_MS_MAX = 2, 60_000
_TASK_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class TaskState(Struct):
    """The record `t:<id>`, and the envelope `p:<id>`."""

    state: str
    payload_bytes: int
    reply: str
    envelope: bytes | None
    worker: str = ""
    attempt: int = 0
    attempt_min: int = 0  # a start of a lower attempt is refused
    outcome: str = ""
    eta: bytes | None = None
    decision: str = ""  # the inbox entry it was started from
    priority: int = 5
    redriven: str = ""  # the dead letter by which it was sent again, the last time


class WorkerRecord(Struct):
    """The record `w:<worker>`."""

    incarnation: int = 0
    standing: str = ""
    offer: bytes = b""


def wall_clock_ms() -> int:
    """Milliseconds since the epoch: what a server's clock would say."""
    return time.time_ns() // 1_000_000


class MemoryShard:
    """State and functions of one shard. Several stores share one of it, in one event loop."""

    def __init__(self, clock_ms: Callable[[], int] = wall_clock_ms, bus: Bus | None = None) -> None:
        self.clock_ms = clock_ms
        self.tasks: dict[str, TaskState] = {}
        self.results: dict[str, bytes] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self.beats: dict[str, int] = {}
        self.streams: defaultdict[str, EntryStream] = defaultdict(EntryStream)
        self.snapshots: dict[int, bytes] = {}
        self.kept: tuple[int | None, int | None] = (None, None)  # newest snapshot, the one before
        self.exported: tuple[int, int] | None = None  # the turn that an exporter has, turns that are kept for it
        self.frame: bytes | None = None
        self.answers: dict[str, list[bytes]] = {}  # the lists `x:<reply>`
        self.queued_bytes = 0
        self.letters_dropped = 0  # dead letters that gave way to newer ones
        self.drain_tasks_s = 0.0  # tasks a second that are predicted to leave the queue, 0: nobody knows
        self.seq: int | None = None
        self.format = PROTOCOL
        self.epoch = 0
        self.owner = ""
        self.nonce = ""
        self.renewals = 0
        self.history = "memory"  # whose writes these are: whoever plays a promotion gives another name
        self.noted_history = ""
        self.bus = Bus() if bus is None else bus  # one for all shards of a server

    def append(self, stream: str, *fields: bytes) -> EntryId:
        """Append an entry and wake whoever waits for the stream."""
        entry_id = self.streams[stream].append(list(fields), self.clock_ms())
        self.bus.wake(stream)
        return entry_id

    # -- submitting

    def submit(self, lines: Sequence[SubmitLine], reply: str, length_max: int, bytes_max: int) -> Answers:
        """Twin of `nx_submit`."""
        for line in lines:
            if _TASK_ID.fullmatch(line.task_id) is None:
                raise StoreError("NXARGS submit: task id")
            if not 0 <= line.priority <= 9:
                raise StoreError("NXARGS submit: priority")
        answers = []
        for line in lines:
            queue, size = f"q:{line.priority}", len(line.payload)
            if line.task_id in self.tasks:
                answers.append(Acceptance.DUPLICATE)
            elif len(self.streams[queue]) >= length_max or (size > 0 and self.queued_bytes + size > bytes_max):
                answers.append(Acceptance.BUSY)
            else:
                envelope = len(line.spec).to_bytes(4, "big") + line.spec + line.payload
                self.tasks[line.task_id] = TaskState(QUEUED, size, reply, envelope, priority=line.priority)
                self.queued_bytes += size
                self.append(queue, b"i", line.task_id.encode(), b"m", line.spec, b"b", b"%d" % size)
                answers.append(Acceptance.ACCEPTED)
        return Answers(answers, self._room_in_ms(answers.count(Acceptance.BUSY)))

    def _room_in_ms(self, tasks: int) -> int | None:
        """Twin of `busy`: when so many tasks will have left the queue, by what the leader predicts."""
        if tasks == 0 or self.drain_tasks_s <= 0.0:
            return None
        return max(RETRY_MS_MIN, min(RETRY_MS_MAX, math.ceil(1_000 * tasks / self.drain_tasks_s)))

    # -- the lease

    def acquire(self, owner: str, nonce: str, seen: LeaseSeen | None) -> Lease | LeaseSeen:
        """Twin of `nx_acquire`."""
        if self.format > PROTOCOL:
            raise ProtocolNewer(f"the shard is kept by protocol {self.format}, and this is {PROTOCOL}")
        standing = LeaseSeen(str(self.epoch), str(self.renewals), self.owner)
        still = seen is not None and (seen.epoch, seen.counter) == (standing.epoch, standing.counter)
        if self.owner not in ("", owner) and not still:
            return standing
        self.epoch, self.owner, self.nonce, self.renewals = self.epoch + 1, owner, nonce, 0
        self.seq = self.seq or 0
        return Lease(self.epoch, owner, nonce, self.seq)

    def fence(self, lease: Lease) -> int:
        """The journal's sequence. Raises `Fenced` if the lease is somebody else's."""
        if (lease.epoch, lease.nonce) != (self.epoch, self.nonce):
            raise Fenced(f"the lease of epoch {lease.epoch} is somebody else's")
        return self.seq or 0

    def renew(self, lease: Lease) -> None:
        """Twin of `nx_renew`."""
        self.fence(lease)
        self.renewals += 1

    def release(self, lease: Lease) -> None:
        """Twin of `nx_release`: nothing happens if the lease is lost already."""
        if (lease.epoch, lease.nonce) == (self.epoch, self.nonce):
            self.owner = ""

    # -- the turn

    def commit(self, lease: Lease, seq: int, plan: CommitPlan, *, publish: bool) -> int:
        """Twin of `nx_commit`."""
        held = self.fence(lease)
        if held != seq:
            raise SequenceMismatch(held)
        after, index = seq + 1, 0
        for stream, lowest in plan.trims.items():
            self.streams[stream].trim(parse_entry_id(lowest))
        for stream, entries in plan.removals.items():
            for entry in entries:
                self.streams[stream].remove(parse_entry_id(entry))
        for line in plan.dispatches:
            inbox = f"i:{line.worker}"
            task, attempt = line.task_id.encode(), b"%d" % line.attempt
            self.streams[inbox].insert((after, index), [b"i", task, b"a", attempt])
            self.bus.wake(inbox)
            index += 1
            if publish:
                message = b'{"task_id":"%b","attempt":%b}' % (task, attempt)
                self.bus.publish(f"nexus:dispatch:{line.worker}", message)
        for end in plan.ends:
            self._end(end)
        for worker, entry, task_id, number in plan.retracts:
            self._reclaim(worker, entry, task_id, number, b"retracted", started_too=False)
        for stop in plan.stops:
            inbox = f"i:{stop.worker}"
            fields = [b"c", stop.control.encode(), b"i", stop.task_id.encode(), b"a", b"%d" % stop.attempt]
            self.streams[inbox].insert((after, index), fields)
            self.bus.wake(inbox)
            index += 1
        for estimate in plan.estimates:
            self._estimate(estimate)
        for answer in plan.answers:
            self.answers.setdefault(answer.reply, []).append(answer.blob)
            self.bus.wake(f"x:{answer.reply}")
        self.streams["ev"].insert((after, 0), [b"t", plan.turn])
        self.seq = after
        return after

    def _estimate(self, line: EstimateLine) -> None:
        task = self.tasks.get(line.task_id)
        if task is None or task.state not in (QUEUED, RUNNING):
            return
        task.eta = line.eta
        if task.reply:
            self.bus.publish(f"nexus:done:{task.reply}", f"{line.task_id} {ESTIMATED} 1".encode() + line.eta)

    def next_answer(self, reply: str) -> bytes | None:
        """Take the oldest answer from the list of `reply`; what LPOP does."""
        answers = self.answers.get(reply)
        if not answers:
            return None
        first = answers.pop(0)
        if not answers:
            del self.answers[reply]
        return first

    def _end(self, end: EndLine) -> None:
        task = self.tasks.get(end.task_id)
        if task is not None and task.state not in (QUEUED, RUNNING):
            return
        if end.dead:
            self._bury(end)
        if task is None:
            return
        self.queued_bytes -= task.payload_bytes
        task.state = DEAD if end.dead else CANCELLED
        task.outcome = end.reason.value
        if not end.dead:
            task.envelope = None
        self._announce(task, end.task_id, b"")

    def _bury(self, end: EndLine) -> None:
        """Twin of `bury`: write a dead letter; the oldest one gives way if there are too many."""
        self.append(
            "dead",
            *(b"i", end.task_id.encode(), b"a", b"%d" % end.attempt, b"y", end.reason.value.encode()),
            *(b"w", end.worker.encode(), b"d", end.detail.encode(errors="replace")),
        )
        stream = self.streams["dead"]
        if len(stream) > DEAD_LETTERS_MAX:
            entry, fields = stream.after((0, 0), 1)[0]
            self.discard(entry, fields[1].decode(), fields[5].decode())
            self.letters_dropped += 1

    def discard(self, entry: EntryId, task_id: str, reason: str) -> None:
        """Twin of `discard`: remove a dead letter, and its task if it died of this."""
        task = self.tasks.get(task_id)
        if task is not None and (task.state, task.outcome) == (DEAD, reason):
            del self.tasks[task_id]
        self.streams["dead"].remove(entry)

    def _announce(self, task: TaskState, task_id: str, result: bytes) -> None:
        if task.reply:
            tail = b"1" + result if len(result) <= INLINE_RESULT_BYTES_MAX else b"0"
            self.bus.publish(f"nexus:done:{task.reply}", f"{task_id} {task.outcome} ".encode() + tail)

    def save_snapshot(self, lease: Lease, seq: int, blob: bytes) -> None:
        """Twin of `nx_snapshot`."""
        held = self.fence(lease)
        if held < seq:
            raise SequenceMismatch(held)
        if (self.kept[0] or 0) <= seq:
            self._keep(seq, blob)

    def offer_snapshot(self, seq: int, turn: bytes, blob: bytes) -> bool:
        """Twin of `nx_offer`."""
        entries = self.streams["ev"].after((seq - 1, 0), 1)
        if not entries or entries[0][0] != (seq, 0) or entries[0][1][1] != turn or (self.kept[0] or 0) >= seq:
            return False
        self._keep(seq, blob)
        return True

    def _keep(self, seq: int, blob: bytes) -> None:
        newest, before = self.kept
        if newest != seq:
            if before is not None:
                self.snapshots.pop(before, None)
            if newest is not None:
                cut = newest
                if self.exported is not None:
                    held_seq, turns_max = self.exported
                    cut = min(cut, max(held_seq, seq - turns_max))
                self.streams["ev"].trim((cut + 1, 0))
            self.kept = (seq, before if newest is None else newest)
        self.snapshots[seq] = blob

    def hold_journal(self, seq: int, turns_max: int) -> int:
        """Twin of `nx_export`."""
        if seq < 0 or not 0 <= turns_max <= EXPORT_TURNS_MAX:
            raise StoreError("NXARGS export: turns")
        self.exported = (seq, turns_max) if turns_max else None
        first = self.streams["ev"].after((0, 0), 1)
        return first[0][0][0] if first else (self.seq or 0) + 1

    # -- inboxes

    def _reclaim(self, worker: str, entry: str, task_id: str, attempt: int, why: bytes, *, started_too: bool) -> bool:
        """Twin of `reclaim`: take a task back from an inbox into q:r, unless it has ended."""
        task = self.tasks.get(task_id)
        started = task is not None and (task.state, task.worker, task.attempt) == (RUNNING, worker, attempt)
        if started and not started_too:
            return False
        there = self._remove(worker, entry)
        if not there:
            return False
        if task is None or not (task.state == QUEUED or started):
            self._vanish(worker, task_id, attempt)
            return False
        self._return(task, task_id, attempt, worker, why, started=started)
        return True

    def _vanish(self, worker: str, task_id: str, attempt: int) -> None:
        self.append("res", b"i", task_id.encode(), b"w", worker.encode(), b"a", b"%d" % attempt, b"f", b"")

    def _return(self, task: TaskState, task_id: str, attempt: int, worker: str, why: bytes, *, started: bool) -> None:
        task.state, task.attempt_min = QUEUED, max(attempt + 1, task.attempt_min)
        self.append(
            "q:r",
            *(b"i", task_id.encode(), b"a", b"%d" % attempt, b"w", worker.encode()),
            *(b"y", why, b"n", b"1" if started else b"0"),
        )

    def _reclaim_inbox(self, worker: str, why: bytes, limit: int, *, everything: bool) -> int:
        moved = 0
        for entry_id, fields in self.streams[f"i:{worker}"].after((0, 0), limit):
            entry = f"{entry_id[0]}-{entry_id[1]}"
            if fields[0] == b"c":
                if everything:
                    self._remove(worker, entry)
                continue
            task_id, attempt = fields[1].decode(), int(fields[3])
            task = self.tasks.get(task_id)
            started = task is not None and (task.state, task.worker, task.attempt) == (RUNNING, worker, attempt)
            if everything or started:
                moved += self._reclaim(worker, entry, task_id, attempt, why, started_too=True)
        return moved

    def _remove(self, worker: str, entry: str) -> bool:
        """Remove an inbox entry; `False` if it is not there."""
        return self.streams[f"i:{worker}"].remove(parse_entry_id(entry))

    def _lies(self, worker: str, entry: str, task_id: str, attempt: int) -> str:
        """Twin of `lies`: `i` if an entry is the pointer of this attempt, `c` if a message about it, else empty."""
        try:
            entry_id = parse_entry_id(entry)
        except ValueError:
            return ""
        fields = self.streams[f"i:{worker}"].get(entry_id) if format_entry_id(entry_id) == entry else None
        if fields is None:
            return ""
        about = [b"i", task_id.encode(), b"a", b"%d" % attempt]
        return fields[0].decode() if fields[-len(about) :] == about else ""

    def drop(self, worker: str, entry: str, task_id: str, attempt: int) -> bool:
        """Twin of `drop`: remove an entry that is this attempt's; `True` if it was its pointer."""
        what = self._lies(worker, entry, task_id, attempt)
        if what:
            self._remove(worker, entry)
        return what == "i"

    # -- workers

    def register(self, worker: str, offer: bytes) -> int:
        """Twin of `nx_register`."""
        record = self.workers.setdefault(worker, WorkerRecord())
        record.incarnation += 1
        record.standing, record.offer = "UP", offer
        self.beats[worker] = record.incarnation * BEATS_PER_INCARNATION
        self._reclaim_inbox(worker, b"worker-restarted", INBOX_RECLAIM_MAX, everything=False)
        self._report(worker, b"join", record.incarnation, offer)
        return record.incarnation

    def leave(self, worker: str, incarnation: int) -> int:
        """Twin of `nx_leave`."""
        record = self._live(worker, incarnation)
        moved = self._reclaim_inbox(worker, b"worker-left", INBOX_RECLAIM_MAX, everything=True)
        record.standing = "LEFT"
        self.beats.pop(worker, None)
        self._report(worker, b"left", incarnation, b"")
        return moved

    def reap(self, lease: Lease, worker: str, beat: int, limit: int) -> Reaped:
        """Twin of `nx_reap`."""
        self.fence(lease)
        record = self.workers.get(worker)
        if worker in self.beats:
            if self.beats[worker] != beat or record is None:
                return Reaped(alive=True)
            self._report(worker, b"lost", record.incarnation, b"")
            record.incarnation += 1
            record.standing = "LOST"
            del self.beats[worker]
        elif record is not None and record.standing == "UP":
            return Reaped(alive=True)
        moved = self._reclaim_inbox(worker, b"worker-lost", limit, everything=True)
        return Reaped(alive=False, moved=moved, left=len(self.streams[f"i:{worker}"]))

    def _live(self, worker: str, incarnation: int) -> WorkerRecord:
        record = self.workers.get(worker)
        if record is None or (record.incarnation, record.standing) != (incarnation, "UP"):
            raise Fenced(f"worker {worker}: incarnation {incarnation} is not the live one")
        return record

    def _report(self, worker: str, kind: bytes, incarnation: int, fact: bytes) -> None:
        self.append("rep", b"k", kind, b"w", worker.encode(), b"n", b"%d" % incarnation, b"f", fact)

    def report(self, workers: Sequence[tuple[str, int]], pack: bytes) -> list[bool]:
        """Twin of `nx_report`."""
        answers = []
        for worker, incarnation in workers:
            record = self.workers.get(worker)
            live = record is not None and (record.incarnation, record.standing) == (incarnation, "UP")
            if live:
                self.beats[worker] = self.beats.get(worker, 0) + 1
            answers.append(live)
        if any(answers) and pack:
            self.append("rep", b"k", b"pack", b"f", pack)
        return answers

    def step(
        self,
        worker: str,
        incarnation: int,
        report: bytes,
        completions: Sequence[CompletionLine],
        starts: Sequence[StartLine],
    ) -> StepReply:
        """Twin of `nx_step`."""
        self._live(worker, incarnation)
        self.beats[worker] = self.beats.get(worker, 0) + 1
        if report:
            self._report(worker, b"report", incarnation, report)
        receipts = [self._complete(worker, line) for line in completions]
        return StepReply(receipts, [self._start(worker, line) for line in starts])

    def _start(self, worker: str, line: StartLine) -> bytes | None:
        task = self.tasks.get(line.task_id)
        if task is not None:
            copied = task.state == RUNNING and line.attempt > task.attempt
            fresh = copied or (task.state == QUEUED and line.attempt >= task.attempt_min)
            if fresh and self._lies(worker, line.inbox_entry, line.task_id, line.attempt) == "i":
                task.state, task.worker, task.attempt = RUNNING, worker, line.attempt
                task.decision = line.inbox_entry
                return task.envelope
            if (task.state, task.worker, task.attempt) == (RUNNING, worker, line.attempt):
                return task.envelope
        if self.drop(worker, line.inbox_entry, line.task_id, line.attempt):
            self._vanish(worker, line.task_id, line.attempt)
        return None

    def _complete(self, worker: str, line: CompletionLine) -> Receipt:
        task = self.tasks.get(line.task_id)
        there = self.drop(worker, line.inbox_entry, line.task_id, line.attempt)
        if task is None or task.state not in (QUEUED, RUNNING):
            if there:
                self._vanish(worker, line.task_id, line.attempt)
            told = task is not None and (task.state, task.worker, task.attempt) == (FINISHED, worker, line.attempt)
            return Receipt.REPEATED if told else Receipt.STALE
        mine = (task.state, task.worker, task.attempt) == (RUNNING, worker, line.attempt)
        if not line.final:
            if not (mine or (task.state == QUEUED and there)):
                if there:
                    self._vanish(worker, line.task_id, line.attempt)  # a copy of it goes on
                return Receipt.STALE
            why = b"preempted" if line.outcome is Outcome.PREEMPTED else b"run-failed"
            self._return(task, line.task_id, line.attempt, worker, why, started=True)
            return Receipt.RETURNED
        self.queued_bytes -= task.payload_bytes
        task.state, task.worker, task.attempt, task.decision = FINISHED, worker, line.attempt, line.inbox_entry
        task.outcome, task.envelope = line.outcome.value, None
        if line.result:
            self.results[line.task_id] = line.result
        fields = (b"i", line.task_id.encode(), b"w", worker.encode(), b"a", b"%d" % line.attempt, b"f", line.fact)
        self.append("res", *fields)
        self._announce(task, line.task_id, line.result)
        return Receipt.ACCEPTED if mine and there else Receipt.LATE
