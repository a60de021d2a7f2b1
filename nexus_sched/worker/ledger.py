"""What a worker has, by level: waiting in its inbox, being started, running, or ended but not yet heard.

Laws: a completion stays in the outbox until a receipt came for it, and is remembered a while longer,
because the store may go back in time. An inbox entry that is read again means something only if the
task is in none of these places. A task runs here at most once at a time: a later attempt waits until
the earlier one has ended. No clock and no I/O in here; `at_s` is an instant of one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from nexus_sched.model.outcome import Receipt
from nexus_sched.runtime.ports import CompletionLine, InboxItem, StartLine

STOP = "stop"  # control messages of an inbox: end this task ...
PREEMPT = "preempt"  # ... or give it back, in favour of a more urgent one

COMPLETIONS_PER_STEP_MAX = 128
COMPLETION_BYTES_PER_STEP_MAX = 32 * 2**20
REMEMBERED_MAX = 10_000
REMEMBERED_BYTES_MAX = 32 * 2**20

Key = tuple[str, int]  # task id and attempt


class Ledger:
    """One worker's tasks. `running` is filled by whoever starts them; the rest by the methods."""

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[InboxItem, float]] = {}  # by task id: the item, when it was first seen
        self.starting: dict[str, tuple[InboxItem, float]] = {}  # sent in the step that is under way
        self.running: dict[str, Key] = {}  # tasks whose function has not been settled
        self.outbox: dict[Key, CompletionLine] = {}
        self.acknowledgements: dict[str, StartLine] = {}  # by inbox entry: control messages that are dealt with
        self._stops: dict[Key, tuple[str, str]] = {}  # entry and kind of control messages whose task has not ended
        self._remembered: dict[Key, CompletionLine] = {}
        self._remembered_order: deque[tuple[float, Key, int]] = deque()  # acknowledged at, key, bytes
        self._remembered_bytes = 0

    def observe(self, items: Iterable[InboxItem], at_s: float) -> list[tuple[Key, str]]:
        """Take note of inbox entries, new or read again; gives the tasks that should stop, `STOP` or `PREEMPT`.

        A task to stop may be running or still be waiting; see `drop_waiting`.
        """
        stops: list[tuple[Key, str]] = []
        for item in items:
            key = (item.task_id, item.attempt)
            if item.control:
                if self._note_control(item, key):
                    stops.append((key, item.control))
            elif not self._is_known(item, key):
                self.waiting[item.task_id] = (item, at_s)
        return stops

    def _note_control(self, item: InboxItem, key: Key) -> bool:
        """Whether this control message asks for something that has not been asked before."""
        if item.control in (STOP, PREEMPT) and self._is_here(key):
            fresh = self._stops.get(key, ("", ""))[0] != item.entry
            self._stops[key] = (item.entry, item.control)
            return fresh
        self.acknowledgements[item.entry] = StartLine(item.task_id, item.attempt, item.entry)
        return False

    def _is_here(self, key: Key) -> bool:
        task_id, attempt = key
        held = self.waiting.get(task_id) or self.starting.get(task_id)
        return self.running.get(task_id) == key or (held is not None and held[0].attempt == attempt)

    def _is_known(self, item: InboxItem, key: Key) -> bool:
        task_id = item.task_id
        if self.running.get(task_id) == key or key in self.outbox:
            return True
        started = self.starting.get(task_id)
        if started is not None and started[0].attempt == item.attempt:
            return True
        remembered = self._remembered.get(key)
        if remembered is not None:
            # Done and acknowledged, yet handed to us again: the store went back. It is told once more.
            self.outbox[key] = self._forget(key)._replace(inbox_entry=item.entry)
            return True
        waiting = self.waiting.get(task_id)
        return waiting is not None and waiting[0].attempt >= item.attempt

    def keep_only(self, entries: set[str]) -> None:
        """The inbox was read from end to end and holds just `entries`: what else waits was taken back."""
        gone = [task_id for task_id, (item, _) in self.waiting.items() if item.entry not in entries]
        for task_id in gone:
            del self.waiting[task_id]

    def claim(self, count: int) -> list[StartLine]:
        """Up to `count` waiting tasks, oldest first, moved to `starting`."""
        if count <= 0 or not self.waiting:
            return []
        chosen = []
        for task_id, (item, _) in self.waiting.items():
            if task_id in self.running:
                continue
            chosen.append(StartLine(task_id, item.attempt, item.entry))
            if len(chosen) == count:
                break
        for line in chosen:
            self.starting[line.task_id] = self.waiting.pop(line.task_id)
        return chosen

    def unclaim(self) -> None:
        """The step's reply was lost: what it meant to start waits again, before everything else."""
        if self.starting:
            self.waiting = {**self.starting, **self.waiting}
            self.starting = {}

    def began(self, line: StartLine) -> float:
        """A start was answered; gives when the task was first seen here."""
        return self.starting.pop(line.task_id)[1]

    def drop_waiting(self, key: Key) -> InboxItem | None:
        """Take a task out that has not been sent to start; `None` if it is not there."""
        held = self.waiting.get(key[0])
        if held is None or held[0].attempt != key[1]:
            return None
        del self.waiting[key[0]]
        return held[0]

    def stopped_by(self, key: Key) -> str:
        """The control message for this task that came in before it was started, empty if there is none."""
        return self._stops.get(key, ("", ""))[1]

    def ended(self, line: CompletionLine) -> None:
        """A task is settled; its completion goes out with the next step."""
        key = (line.task_id, line.attempt)
        if self.running.get(line.task_id) == key:
            del self.running[line.task_id]
        self.outbox[key] = line
        self.stop_is_moot(key)

    def stop_is_moot(self, key: Key) -> None:
        """The task of a control message ended or is not ours: the message can leave the inbox."""
        told = self._stops.pop(key, None)
        if told is not None:
            entry = told[0]
            self.acknowledgements[entry] = StartLine(key[0], key[1], entry)

    def next_completions(self) -> list[CompletionLine]:
        """The oldest completions that fit one step."""
        lines: list[CompletionLine] = []
        size = 0
        for line in self.outbox.values():
            size += len(line.result)
            if lines and (size > COMPLETION_BYTES_PER_STEP_MAX or len(lines) == COMPLETIONS_PER_STEP_MAX):
                break
            lines.append(line)
        return lines

    def receipted(self, lines: Sequence[CompletionLine], receipts: Sequence[Receipt], at_s: float) -> None:
        """The store has decided on these completions; those it took are remembered."""
        for line, receipt in zip(lines, receipts, strict=True):
            key = (line.task_id, line.attempt)
            del self.outbox[key]
            if receipt is not Receipt.STALE:
                size = len(line.result) + len(line.fact)
                self._remembered[key] = line
                self._remembered_order.append((at_s, key, size))
                self._remembered_bytes += size

    def expire(self, before_s: float) -> None:
        """Forget completions that were acknowledged before this instant, or are too many."""
        order = self._remembered_order
        while order and (
            order[0][0] < before_s or len(order) > REMEMBERED_MAX or self._remembered_bytes > REMEMBERED_BYTES_MAX
        ):
            _, key, size = order.popleft()
            self._remembered_bytes -= size
            self._remembered.pop(key, None)

    def _forget(self, key: Key) -> CompletionLine:
        return self._remembered.pop(key)._replace(told=True)  # its place in the order expires by itself

    def replay(self) -> None:
        """The connection was lost, perhaps with what the store had acknowledged: tell all of it again."""
        for key in list(self._remembered):
            self.outbox[key] = self._forget(key)
