"""A submitter's store that can be made to fail, and a worker's hand in the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from nexus_sched.adapters.memory import MemoryShard, MemorySubmitterStore
from nexus_sched.adapters.memory.stream import format_entry_id
from nexus_sched.errors import StoreError
from nexus_sched.model.outcome import Acceptance, Completion, Outcome
from nexus_sched.runtime.ports import CompletionLine, StartLine, SubmitLine, TaskRecord

Reply = TypeVar("Reply")


class FaultySubmitterStore(MemorySubmitterStore):
    """Fails as a test wants it to: errors before or after a submission takes effect, one a call."""

    def __init__(self, shard: MemoryShard, **bounds: int) -> None:
        super().__init__(shard, **bounds)
        self.before_submit: list[StoreError] = []
        self.after_submit: list[StoreError] = []
        self.lost_replies: list[StoreError] = []  # of any other call, which has taken effect by then
        self.announces = True
        self.calls: list[int] = []
        self.records = 0

    async def submit(self, lines: Sequence[SubmitLine], reply: str) -> list[Acceptance]:
        self.calls.append(len(lines))
        if self.before_submit:
            raise self.before_submit.pop(0)
        answers = await super().submit(lines, reply if self.announces else "")
        if self.after_submit:
            raise self.after_submit.pop(0)
        return answers

    async def record(self, task_id: str) -> TaskRecord | None:
        self.records += 1
        return await super().record(task_id)

    async def result(self, task_id: str) -> bytes | None:
        return self._unless_lost(await super().result(task_id))

    async def eta(self, task_id: str) -> bytes | None:
        return self._unless_lost(await super().eta(task_id))

    async def command(self, blob: bytes) -> None:
        self._unless_lost(await super().command(blob))

    def _unless_lost(self, reply: Reply) -> Reply:
        if self.lost_replies:
            raise self.lost_replies.pop(0)
        return reply


class Hand:
    """Starts and ends tasks as a worker would, each at its first attempt."""

    def __init__(self, shard: MemoryShard) -> None:
        self._shard = shard
        self._incarnation = shard.register("w1", b"\x80")
        self._pointers: dict[str, str] = {}  # task id -> its entry in the inbox

    def start(self, task_id: str) -> None:
        self._step(starts=[StartLine(task_id, 1, self._pointer(task_id))])

    def finish(self, task_id: str, outcome: Outcome = Outcome.SUCCEEDED, result: bytes = b"") -> None:
        self.start(task_id)
        fact = msgspec.msgpack.encode(Completion(outcome=outcome, run_ms=1.0))
        self._step([CompletionLine(task_id, 1, self._pointer(task_id), True, outcome, fact, result)])

    def _pointer(self, task_id: str) -> str:
        """Its entry, put there as a leader does if this is the first time."""
        if task_id not in self._pointers:
            entry_id = (len(self._pointers) + 1, 0)
            self._shard.streams["i:w1"].insert(entry_id, [b"i", task_id.encode(), b"a", b"1"])
            self._pointers[task_id] = format_entry_id(entry_id)
        return self._pointers[task_id]

    def _step(self, completions: Sequence[CompletionLine] = (), starts: Sequence[StartLine] = ()) -> None:
        self._shard.step("w1", self._incarnation, b"", completions, starts)
