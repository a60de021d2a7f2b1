"""A submitter's side of a whole pool: one store for each of its shards, and the way of each call to the right one.

Laws of this file:
  1. A task is in the shard that its id says, so that it is found, recognised and cancelled there, by whoever asks.
  2. The number of shards never changes once it is settled, so it is remembered. Until then all goes to shard 0, which
     is noted in the store (`early`): of such a pool, every task is looked for in shard 0 as well.
  3. A shard's store is opened when it is needed first; a pool of one shard costs nothing beyond that shard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.command import (
    Ask,
    decode_command,
)
from nexus_sched.model.frame import decode_frame, encode_frame
from nexus_sched.model.outcome import Acceptance
from nexus_sched.runtime.pool_ports import PoolShards, PoolStore
from nexus_sched.runtime.ports import (
    Answers,
    DeadLetter,
    Ended,
    LetterKey,
    Operation,
    Redrive,
    SubmitLine,
    SubmitterStore,
    TaskRecord,
)
from nexus_sched.sharding.frames import merge_frames
from nexus_sched.sharding.hashing import shard_of

QUESTIONS_MAX = 10_000  # that wait for an answer; the oldest one is forgotten beyond

Made = TypeVar("Made")


class PoolSubmitterStore:
    """`SubmitterStore` over all shards of a pool.

    Parameters
    ----------
    pool
        What is known of the pool, not opened yet.
    make
        Makes the store of a shard, not opened yet, from its number and how many there are: bounds are shared out.
    wanted
        The number of shards, if the configuration says it; settles it where nobody has.
    """

    def __init__(self, pool: PoolStore, make: Callable[[int, int], SubmitterStore], wanted: int | None = None) -> None:
        self._pool = pool
        self._make = make
        self._wanted = wanted
        self._shards = PoolShards(0, early=False)
        self._stores: dict[int, SubmitterStore] = {}
        self._opening = asyncio.Lock()
        self._asked: dict[str, int] = {}  # reply -> the shard that was asked

    async def open(self) -> None:
        """Connect to what knows the pool, and to its first shard."""
        if self._shards.count != 1:
            await self._pool.open()
        await self._known()
        await self._store(0)

    async def close(self) -> None:
        """Close all connections. Never raises."""
        stores, self._stores = self._stores, {}
        for store in stores.values():
            await store.close()
        await self._pool.close()

    async def each_shard(self) -> list[SubmitterStore]:
        """A store for each shard, opened and in order."""
        return [await self._store(number) for number in range((await self._known()).count or 1)]

    async def of_task(self, task_id: str) -> SubmitterStore:
        """The store of the shard in which a task is, or would be."""
        shards = await self._known()
        home = await self._store(shard_of(task_id, shards.count or 1))
        if not shards.early or shards.count <= 1 or await home.record(task_id) is not None:
            return home
        first = await self._store(0)
        return home if await first.record(task_id) is None else first

    # -- tasks

    async def submit(self, lines: Sequence[SubmitLine], reply: str) -> Answers:
        """Submit up to `SUBMIT_TASKS_MAX` tasks, each to its shard; answers come in the order of the lines."""
        shards = await self._known(settling=True)
        by_shard: dict[int, list[int]] = {}
        if shards.count <= 1:
            return await (await self._store(0)).submit(lines, reply)
        early = await self._early(shards, lines)
        for index, line in enumerate(lines):
            number = 0 if line.task_id in early else shard_of(line.task_id, shards.count)
            by_shard.setdefault(number, []).append(index)
        stores = {number: await self._store(number) for number in by_shard}
        told = await asyncio.gather(
            *(stores[number].submit([lines[index] for index in part], reply) for number, part in by_shard.items())
        )
        answers: dict[int, Acceptance] = {}
        for part, answered in zip(by_shard.values(), told, strict=True):
            answers.update(zip(part, answered, strict=True))
        waits = [answered.retry_after_ms for answered in told if answered.retry_after_ms is not None]
        return Answers((answers[index] for index in range(len(lines))), max(waits, default=None))

    async def record(self, task_id: str) -> TaskRecord | None:
        """Where a task stands, `None` if it is not known (any more)."""
        return await (await self.of_task(task_id)).record(task_id)

    async def result(self, task_id: str) -> bytes | None:
        """The kept result, `None` if there is none (any more)."""
        return await (await self.of_task(task_id)).result(task_id)

    async def eta(self, task_id: str) -> bytes | None:
        """The newest `Eta` that was told of a task, encoded; `None` if there is none (any more)."""
        return await (await self.of_task(task_id)).eta(task_id)

    async def payload(self, task_id: str, length: int | None = None) -> bytes | None:
        """The envelope of a task or its first `length` bytes, `None` if there is none (any more)."""
        return await (await self.of_task(task_id)).payload(task_id, length)

    # -- commands and questions

    async def command(self, blob: bytes) -> None:
        """Append a command for the leader of the shard that it concerns; one that concerns none is for each."""
        try:
            command = decode_command(blob)
        except (msgspec.DecodeError, UnicodeDecodeError):  # its leader will say so
            command = None
        subject = command.question if isinstance(command, Ask) else command
        if task_id := getattr(subject, "task_id", ""):
            stores = [await self.of_task(task_id)]
        elif worker := getattr(subject, "worker", ""):
            stores = await self._of_worker(worker)
        else:
            stores = await self.each_shard()
        if isinstance(command, Ask):
            stores = stores[:1]  # nobody could tell several answers apart
            self._remember(command.reply, stores[0])
        await asyncio.gather(*(store.command(blob) for store in stores))

    async def answer(self, reply: str, timeout_ms: int) -> bytes | None:
        """The next answer on the list of `reply`, `None` if none came in time. May be called concurrently."""
        return await (await self._store(self._asked.get(reply, 0))).answer(reply, timeout_ms)

    # -- the pool as a whole

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """As of a shard, where there is only one. Raises `InvalidInput` where each has a journal of its own."""
        shards = (await self._known()).count or 1
        if shards > 1:
            raise InvalidInput(f"the pool has {shards} shards, each with a journal of its own: name one of them")
        return await (await self._store(0)).journal(after, count)

    async def frame(self) -> bytes | None:
        """The newest pictures of all shards as one, `None` if no leader ever wrote one."""
        frames = [blob for blob in await self._all(lambda store: store.frame()) if blob is not None]
        if len(frames) <= 1:
            return frames[0] if frames else None
        return encode_frame(merge_frames([decode_frame(blob) for blob in frames]))

    async def dead_letters(self, after: str, count: int) -> list[DeadLetter]:
        """Up to `count` dead letters behind entry `after`, oldest first; a few more where entries are the same."""
        pages = await self._all(lambda store: store.dead_letters(after, count))
        found = sorted((letter for page in pages for letter in page), key=lambda letter: _instant(letter.entry))
        end = min(count, len(found))
        while 0 < end < len(found) and found[end].entry == found[end - 1].entry:
            end += 1
        return found[:end]

    async def redrive(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[Redrive]:
        """Send up to `LETTERS_MAX` dead tasks again; after a lost reply the same call is safe."""
        return await self._on_letters(keys, Redrive.GONE, lambda store, part: store.redrive(part, reason, actor))

    async def purge(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[bool]:
        """Remove up to `LETTERS_MAX` dead letters with their tasks; `False` for what was not there."""
        return await self._on_letters(keys, False, lambda store, part: store.purge(part, reason, actor))

    async def operations(self, count: int) -> list[Operation]:
        """The newest redrives and purges of all shards, newest first."""
        pages = await self._all(lambda store: store.operations(count))
        return sorted((each for page in pages for each in page), key=lambda each: each.at_ms, reverse=True)[:count]

    async def ended(self, reply: str) -> AsyncIterator[Ended]:
        """Ends announced on `reply`: a channel belongs to the server, so one shard's store hears of all."""
        async for ended in (await self._store(0)).ended(reply):
            yield ended

    async def subscribed(self, reply: str) -> None:
        """Returns once `ended(reply)` will see everything announced from now on."""
        await (await self._store(0)).subscribed(reply)

    # -- shards

    async def _known(self, *, settling: bool = False) -> PoolShards:
        if not self._shards.count:
            settles = settling or self._wanted is not None
            self._shards = await (self._pool.settle(self._wanted) if settles else self._pool.shards())
            if self._shards.count == 1:
                await self._pool.close()  # there is nothing more to ask
        return self._shards

    async def _store(self, number: int) -> SubmitterStore:
        store = self._stores.get(number)
        if store is not None:
            return store
        async with self._opening:
            if number not in self._stores:
                store = self._make(number, max(1, self._shards.count))
                try:
                    await store.open()
                except BaseException:
                    await store.close()
                    raise
                self._stores[number] = store
            return self._stores[number]

    async def _early(self, shards: PoolShards, lines: Sequence[SubmitLine]) -> set[str]:
        """Which of these tasks are known to shard 0, although they would go elsewhere now."""
        if not shards.early:
            return set()
        first = await self._store(0)
        records = await asyncio.gather(*(first.record(line.task_id) for line in lines))
        return {line.task_id for line, record in zip(lines, records, strict=True) if record is not None}

    async def _all(self, call: Callable[[SubmitterStore], Awaitable[Made]]) -> list[Made]:
        return await asyncio.gather(*(call(store) for store in await self.each_shard()))

    async def _of_worker(self, worker: str) -> list[SubmitterStore]:
        """The store of the shard of a worker; all of them if nobody knows where it is."""
        shards = await self._known()
        placed = await self._pool.placed(worker) if shards.count > 1 else 0
        if placed is None or placed >= max(1, shards.count):
            return await self.each_shard()
        return [await self._store(placed)]

    def _remember(self, reply: str, asked: SubmitterStore) -> None:
        self._asked[reply] = next(number for number, store in self._stores.items() if store is asked)
        while len(self._asked) > QUESTIONS_MAX:
            del self._asked[next(iter(self._asked))]

    async def _on_letters(
        self,
        keys: Sequence[LetterKey],
        missing: Made,
        call: Callable[[SubmitterStore, Sequence[LetterKey]], Awaitable[list[Made]]],
    ) -> list[Made]:
        """Each letter where its task is; one of no task wherever it may be, an early one in shard 0 as well."""
        stores = await self.each_shard()
        if len(stores) == 1:
            return await call(stores[0], keys)
        answers = dict.fromkeys(range(len(keys)), missing)
        for turn in range(len(stores)):
            parts: dict[int, list[int]] = {}
            for index, key in enumerate(keys):
                places = [shard_of(key.task_id, len(stores)), *([0] if self._shards.early else [])]
                places = places if key.task_id else list(range(len(stores)))
                if turn < len(places) and answers[index] == missing:
                    parts.setdefault(places[turn], []).append(index)
            for number, part in parts.items():
                told = await call(stores[number], [keys[index] for index in part])
                answers.update(zip(part, told, strict=True))
        return list(answers.values())


def _instant(entry: str) -> tuple[int, int]:
    at_ms, _, number = entry.partition("-")
    return int(at_ms), int(number)
