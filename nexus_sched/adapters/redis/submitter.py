"""A submitter's side of a shard on Redis: submissions in one call a batch, ends by pub/sub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import chain

from nexus_sched.adapters.redis.confirmation import ShardLevel
from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.library import ShardFunctions
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import CONNECT_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_DEFAULT, RespClient
from nexus_sched.adapters.redis.subscription import Subscription
from nexus_sched.errors import InvalidInput
from nexus_sched.model.outcome import Acceptance
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
from nexus_sched.units import MS_PER_S

LENGTH_MAX_DEFAULT = 100_000  # queued tasks of one priority
BYTES_MAX_DEFAULT = 2**30  # payloads of all tasks that have not ended

_ACCEPTANCES = {1: Acceptance.ACCEPTED, 0: Acceptance.DUPLICATE}
_UNKNOWN_MS = 1  # stands for: nobody predicts when there will be room


class RedisSubmitterStore:
    """`SubmitterStore` on Redis or Valkey."""

    def __init__(
        self,
        url: str,
        pool: str = "default",
        shard: int = 0,
        *,
        length_max: int = LENGTH_MAX_DEFAULT,
        bytes_max: int = BYTES_MAX_DEFAULT,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
    ) -> None:
        self.keys = ShardKeys(pool, shard)
        self._place = locator_of(url, self.keys.meta)
        self._client = RespClient(self._place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._functions = ShardFunctions(self._client, self.keys)
        self._level = ShardLevel(self._client, self.keys)
        self._length_max = length_max
        self._bytes_max = bytes_max
        self._timeout_ms = timeout_ms
        self._connect_timeout_ms = connect_timeout_ms
        self._timeout_s = timeout_ms / MS_PER_S
        self._idle: list[RespClient] = []  # connections for blocking reads
        self._subscriptions: dict[str, Subscription] = {}

    async def open(self) -> None:
        """Connect, and load the function library if the server has none."""
        await self._client.open()
        await self._functions.install(replace=False)

    async def close(self) -> None:
        """Close all connections. Never raises."""
        subscriptions, self._subscriptions = self._subscriptions, {}
        for subscription in subscriptions.values():
            await subscription.close()
        idle, self._idle = self._idle, []
        for client in idle:
            await client.close()
        await self._level.close()
        await self._client.close()

    async def each_shard(self) -> list[RedisSubmitterStore]:
        """Just this one."""
        return [self]

    async def of_task(self, task_id: str) -> RedisSubmitterStore:
        """This one: a task is nowhere else."""
        del task_id
        return self

    async def submit(self, lines: Sequence[SubmitLine], reply: str) -> Answers:
        """Submit up to `SUBMIT_TASKS_MAX` tasks. `reply` names the channel for their ends, or is empty.

        Raises `StoreNotReplicated` if the shard promises replicas and none has them: they may be queued all the same.
        """
        if len(lines) > SUBMIT_TASKS_MAX:
            raise InvalidInput(f"{len(lines)} tasks in one submission; at most {SUBMIT_TASKS_MAX} are possible")
        wait_ms = await self._level.wait_ms()
        codes = await self._functions.call_in_turn(
            b"nx_submit",
            self._length_max,
            self._bytes_max,
            reply,
            len(lines),
            *chain.from_iterable(lines),
            wait_ms=wait_ms,
        )
        if wait_ms and 0 in codes and 1 not in codes:  # nothing was written now, and perhaps in vain before
            await self._functions.replicate(wait_ms)
        last_ms = -min(codes, default=0)
        return Answers(
            [_ACCEPTANCES.get(code, Acceptance.BUSY) for code in codes], last_ms if last_ms > _UNKNOWN_MS else None
        )

    async def record(self, task_id: str) -> TaskRecord | None:
        """Where a task stands, `None` if it is not known (any more)."""
        state, outcome, attempt, worker, decision = await self._client.call(
            b"HMGET", self.keys.task(task_id), b"s", b"o", b"a", b"w", b"d"
        )
        if state is None:
            return None
        texts = ((value or b"").decode(errors="replace") for value in (worker, decision))
        return TaskRecord(state.decode(), (outcome or b"").decode(), int(attempt or 0), *texts)

    async def result(self, task_id: str) -> bytes | None:
        """The kept result, `None` if there is none (any more)."""
        result: bytes | None = await self._client.call(b"GET", self.keys.result(task_id))
        return result

    async def command(self, blob: bytes) -> None:
        """Append an encoded command for the leader."""
        await self._client.call(b"XADD", self.keys.commands, b"*", b"f", blob)

    async def answer(self, reply: str, timeout_ms: int) -> bytes | None:
        """The next answer on the list of `reply`, `None` if none came in time. May be called concurrently.

        A blocking read needs a connection of its own; it is kept for the next one only if it was answered.
        """
        key = self.keys.answers(reply)
        if timeout_ms <= 0:
            first: bytes | None = await self._client.call(b"LPOP", key)
            return first
        if self._idle:
            client = self._idle.pop()
        else:
            client = RespClient(self._place, timeout_ms=self._timeout_ms, connect_timeout_ms=self._connect_timeout_ms)
            await client.open()
        try:
            found = await client.call(
                b"BLPOP",
                key,
                b"%.3f" % (timeout_ms / MS_PER_S),
                timeout_s=timeout_ms / MS_PER_S + self._timeout_s,
            )
        except BaseException:
            await client.close()
            raise
        self._idle.append(client)
        return None if found is None else bytes(found[1])

    async def eta(self, task_id: str) -> bytes | None:
        """The newest `Eta` that was told of a task, encoded; `None` if there is none (any more)."""
        eta: bytes | None = await self._client.call(b"HGET", self.keys.task(task_id), b"e")
        return eta

    async def journal(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Up to `count` turns `(seq, blob)` behind sequence `after` that are still kept, in order."""
        entries = await self._client.call(b"XRANGE", self.keys.journal, f"{after + 1}-0", b"+", b"COUNT", count)
        return [(int(entry.partition(b"-")[0]), fields[1]) for entry, fields in entries]

    async def frame(self) -> bytes | None:
        """The newest picture of the state, `None` if no leader ever wrote one."""
        frame: bytes | None = await self._client.call(b"GET", self.keys.frame)
        return frame

    async def dead_letters(self, after: str, count: int) -> list[DeadLetter]:
        """Up to `count` dead letters behind entry `after`, oldest first."""
        entries = await self._client.call(b"XRANGE", self.keys.dead, f"({after}", b"+", b"COUNT", count)
        return [_letter(entry, dict(zip(fields[::2], fields[1::2], strict=True))) for entry, fields in entries]

    async def redrive(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[Redrive]:
        """Send up to `LETTERS_MAX` dead tasks again; after a lost reply the same call is safe."""
        _check_count(keys)
        codes = await self._functions.call_in_turn(
            b"nx_redrive", self._length_max, self._bytes_max, reason, actor, *chain.from_iterable(keys)
        )
        return [Redrive(code) for code in codes]

    async def purge(self, keys: Sequence[LetterKey], reason: str, actor: str) -> list[bool]:
        """Remove up to `LETTERS_MAX` dead letters with their tasks; `False` for what was not there."""
        _check_count(keys)
        codes = await self._functions.call_in_turn(b"nx_purge", reason, actor, *chain.from_iterable(keys))
        return [code == 1 for code in codes]

    async def operations(self, count: int) -> list[Operation]:
        """The newest redrives and purges, newest first."""
        entries = await self._client.call(b"XREVRANGE", self.keys.operations, b"+", b"-", b"COUNT", count)
        return [
            Operation(int(entry.partition(b"-")[0]), kind.decode(), int(number), reason.decode(), actor.decode())
            for entry, (_, kind, _, number, _, reason, _, actor) in entries
        ]

    async def payload(self, task_id: str, length: int | None = None) -> bytes | None:
        """The envelope of a task or its first `length` bytes, `None` if there is none (any more)."""
        last = -1 if length is None else length - 1
        envelope: bytes = await self._client.call(b"GETRANGE", self.keys.payload(task_id), 0, last)
        return envelope or None

    async def ended(self, reply: str) -> AsyncIterator[Ended]:
        """Ends announced on `reply` since `subscribed(reply)` returned, or from the first `__anext__` on.

        Raises `StoreUnreachable` when the subscription is lost: ask `record` for what is still open, then
        call `ended` again. One reader per channel.
        """
        await self.subscribed(reply)
        subscription = self._subscriptions[reply]
        try:
            while True:
                yield await subscription.next()
        finally:
            if self._subscriptions.get(reply) is subscription:
                del self._subscriptions[reply]
            await subscription.close()

    async def subscribed(self, reply: str) -> None:
        """Returns once `ended(reply)` will see everything announced from now on."""
        standing = self._subscriptions.get(reply)
        if standing is not None and not standing.lost:
            return
        subscription = Subscription(self._place, reply, self._timeout_s)
        await subscription.open()
        self._subscriptions[reply] = subscription


def _letter(entry: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    def text(name: bytes) -> str:
        return fields.get(name, b"").decode(errors="replace")

    attempt = text(b"a")
    number = int(attempt) if attempt.isdigit() else 0
    return DeadLetter(entry.decode(), text(b"i"), number, text(b"y"), text(b"w"), text(b"d"))


def _check_count(keys: Sequence[LetterKey]) -> None:
    if not 0 < len(keys) <= LETTERS_MAX:
        raise InvalidInput(f"{len(keys)} dead letters in one call; 1 to {LETTERS_MAX} are possible")
