"""A submitter's side of a shard in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from nexus_sched.adapters.memory import letters
from nexus_sched.adapters.memory.shard import MemoryShard
from nexus_sched.errors import InvalidInput
from nexus_sched.runtime.ports import (
    LETTERS_MAX,
    SUBMIT_TASKS_MAX,
    Answers,
    DeadLetter,
    Ended,
    LetterKey,
    Operation,
    Redrive,
    SubmitLine,
    TaskRecord,
)

LENGTH_MAX_DEFAULT = 100_000
BYTES_MAX_DEFAULT = 2**30


class MemorySubmitterStore:
    """`SubmitterStore` on a `MemoryShard`."""

    def __init__(
        self, shard: MemoryShard, *, length_max: int = LENGTH_MAX_DEFAULT, bytes_max: int = BYTES_MAX_DEFAULT
    ) -> None:
        self.shard = shard
        self._length_max = length_max
        self._bytes_max = bytes_max
        self._messages: dict[str, asyncio.Queue[bytes]] = {}

    async def open(self) -> None:
        """Nothing to connect."""

    async def close(self) -> None:
        """Drop the subscriptions."""
        for reply in tuple(self._messages):
            self._unsubscribe(reply)

    async def each_shard(self) -> list[MemorySubmitterStore]:
        """Just this one."""
        return [self]

    async def of_task(self, task_id: str) -> MemorySubmitterStore:
        """This one: a task is nowhere else."""
        del task_id
        return self

    async def submit(self, lines: Sequence[SubmitLine], reply: str) -> Answers:
        """Submit up to `SUBMIT_TASKS_MAX` tasks. `reply` names the channel for their ends, or is empty."""
        if len(lines) > SUBMIT_TASKS_MAX:
            raise InvalidInput(f"{len(lines)} tasks in one submission; at most {SUBMIT_TASKS_MAX} are possible")
        await asyncio.sleep(0)
        return self.shard.submit(lines, reply, self._length_max, self._bytes_max)

    async def record(self, task_id: str) -> TaskRecord | None:
        """Where a task stands, `None` if it is not known."""
        await asyncio.sleep(0)
        task = self.shard.tasks.get(task_id)
        if task is None:
            return None
        return TaskRecord(task.state, task.outcome, task.attempt, task.worker, task.decision)

    async def result(self, task_id: str) -> bytes | None:
        """The kept result, `None` if there is none."""
        await asyncio.sleep(0)
        return self.shard.results.get(task_id)

    async def command(self, blob: bytes) -> None:
        """Append an encoded command for the leader."""
        await asyncio.sleep(0)
        self.shard.append("cmd", b"f", blob)

    async def answer(self, reply: str, timeout_ms: int) -> bytes | None:
        """The next answer on the list of `reply`, `None` if none came in time."""
        await asyncio.sleep(0)
        waiting = f"x:{reply}"
        if not self.shard.answers.get(reply) and timeout_ms > 0:
            await self.shard.bus.wait([waiting], timeout_ms)
        return self.shard.next_answer(reply)

    async def eta(self, task_id: str) -> bytes | None:
        """The newest `Eta` that was told of a task, encoded; `None` if there is none."""
        await asyncio.sleep(0)
        task = self.shard.tasks.get(task_id)
        return None if task is None else task.eta

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` turns `(seq, blob)` behind sequence `after` that are still kept, in order."""
        await asyncio.sleep(0)
        return [(entry[0], fields[1]) for entry, fields in self.shard.streams["ev"].after((after, 0), count)]

    async def frame(self) -> bytes | None:
        """The newest picture of the state, `None` if no leader ever wrote one."""
        await asyncio.sleep(0)
        return self.shard.frame

    async def dead_letters(self, after: str, count: int) -> list[DeadLetter]:
        """Up to `count` dead letters behind entry `after`, oldest first."""
        await asyncio.sleep(0)
        return letters.letters(self.shard, after, count)

    async def redrive(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[Redrive]:
        """Send up to `LETTERS_MAX` dead tasks again; after a lost reply the same call is safe."""
        _check_count(keys)
        await asyncio.sleep(0)
        return letters.redrive(self.shard, keys, reason, actor, self._length_max, self._bytes_max)

    async def purge(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[bool]:
        """Remove up to `LETTERS_MAX` dead letters with their tasks; `False` for what was not there."""
        _check_count(keys)
        await asyncio.sleep(0)
        return letters.purge(self.shard, keys, reason, actor)

    async def operations(self, count: int) -> list[Operation]:
        """The newest redrives and purges, newest first."""
        await asyncio.sleep(0)
        return letters.operations(self.shard, count)

    async def payload(self, task_id: str, length: int | None = None) -> bytes | None:
        """The envelope of a task or its first `length` bytes, `None` if there is none (any more)."""
        await asyncio.sleep(0)
        task = self.shard.tasks.get(task_id)
        return None if task is None or task.envelope is None else task.envelope[:length]

    async def ended(self, reply: str) -> AsyncIterator[Ended]:
        """Ends announced on `reply` since `subscribed(reply)` returned, or from the first `__anext__` on."""
        await self.subscribed(reply)
        messages = self._messages[reply]
        try:
            while True:
                task_id, outcome, tail = (await messages.get()).split(b" ", 2)
                yield Ended(task_id.decode(), outcome.decode(), tail[1:] if tail[:1] == b"1" else None)
        finally:
            self._unsubscribe(reply)

    async def subscribed(self, reply: str) -> None:
        """Returns once `ended(reply)` will see everything announced from now on."""
        await asyncio.sleep(0)
        if reply not in self._messages:
            messages = self._messages[reply] = asyncio.Queue()
            self.shard.bus.subscribe(f"nexus:done:{reply}", messages.put_nowait)

    def _unsubscribe(self, reply: str) -> None:
        messages = self._messages.pop(reply, None)
        if messages is not None:
            self.shard.bus.unsubscribe(f"nexus:done:{reply}", messages.put_nowait)


def _check_count(keys: Sequence[LetterKey]) -> None:
    if not 0 < len(keys) <= LETTERS_MAX:
        raise InvalidInput(f"{len(keys)} dead letters in one call; 1 to {LETTERS_MAX} are possible")
