"""Follows a producer's stream by cursor and turns its entries into submissions.

Laws: the cursor moves only after everything before it is submitted or dead-lettered, in one fenced call, so
an entry is never lost; submitting is idempotent by id, so one that is submitted twice counts once. An entry
that cannot be understood never stops those behind it. A full queue does: the same entries are tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain

from nexus_sched.adapters.redis.entries import Refusal, submission_of
from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.library import ShardFunctions
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import CONNECT_TIMEOUT_MS_DEFAULT, TIMEOUT_MS_DEFAULT, RespClient
from nexus_sched.errors import ConfigInvalid, Fenced, StoreError
from nexus_sched.model.intake import IntakeSettings, intake_problems
from nexus_sched.model.outcome import Acceptance
from nexus_sched.runtime.ports import SUBMIT_TASKS_MAX, Lease, SubmitLine, SubmitterStore
from nexus_sched.units import MS_PER_S

READ_BLOCK_MS = 1_000
BACKOFF_MS_MIN = 50
BACKOFF_MS_MAX = 1_000


class IntakeFollower:
    """One foreign stream, followed from one shard into the pool. `accepted`, `duplicate`, `refused` count its entries.

    Tasks go to wherever `submitter`, not opened yet, sends them: to the shards of their ids. The cursor, and what could
    not be understood, stay with the shard that follows. `problem` says what the last failure was, empty while all is
    well.
    """

    def __init__(
        self,
        url: str,
        pool: str,
        shard: int,
        settings: IntakeSettings,
        submitter: SubmitterStore,
        *,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        problems = intake_problems(settings)
        if problems:
            raise ConfigInvalid([f"intake {settings.stream}: {problem}" for problem in problems])
        self.settings = settings
        self.accepted = 0
        self.duplicate = 0
        self.refused = 0
        self.problem = ""
        self._keys = ShardKeys(pool, shard)
        place = locator_of(url, self._keys.meta)
        self._client = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._reader = self._client
        if place.clustered:  # the stream may be on any node
            there = locator_of(url, settings.stream.encode())
            self._reader = RespClient(there, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._functions = ShardFunctions(self._client, self._keys)
        self._submitter = submitter
        self._sleep = sleep
        self._margin_s = timeout_ms / MS_PER_S
        self._backoff_ms = BACKOFF_MS_MIN
        self._epoch = -1
        self._forget()

    def _forget(self) -> None:
        self._cursor = ""  # where the store says we are; empty: not asked yet
        self._read_until = ""  # the last entry of the batch that is being worked off
        self._pending: list[SubmitLine] = []
        self._refusals: list[tuple[str, str, str]] = []

    async def open(self) -> None:
        """Connect."""
        await self._client.open()
        await self._reader.open()
        await self._submitter.open()

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._reader.close()
        await self._client.close()
        await self._submitter.close()

    async def run(self, lease: Lease) -> None:
        """Follow the stream until cancelled. Raises `Fenced` once the lease is lost; other failures back off."""
        while True:
            try:
                await self.pump_once(lease)
                if not self._pending:
                    self.problem, self._backoff_ms = "", BACKOFF_MS_MIN
            except Fenced:
                raise
            except StoreError as error:
                self.problem = f"{error.code}: {error}"
                await self._back_off()

    async def pump_once(self, lease: Lease) -> int:
        """Read what is new (waiting a second at most) and submit it; gives how many entries were worked off.

        0 if nothing came, or if the queue is full: then the same entries are tried by the next call.
        """
        if lease.epoch != self._epoch:
            self._epoch = lease.epoch
            self._forget()
        if not self._read_until and not await self._read():
            return 0
        worked_off = len(self._pending)
        await self._submit()
        if self._pending:
            self.problem = f"{Acceptance.BUSY.value}: the queue is full"
            await self._back_off()
            return worked_off - len(self._pending)
        worked_off += len(self._refusals)
        await self._remember(lease)
        self._backoff_ms = BACKOFF_MS_MIN
        return worked_off

    async def _read(self) -> bool:
        if not self._cursor:
            known = await self._client.call(b"HGET", self._keys.meta, f"intake:{self.settings.stream}")
            self._cursor = known.decode() if known else "0-0"
        reply = await self._reader.call(
            b"XREAD",
            b"COUNT",
            SUBMIT_TASKS_MAX,
            b"BLOCK",
            READ_BLOCK_MS,
            b"STREAMS",
            self.settings.stream,
            self._cursor,
            timeout_s=READ_BLOCK_MS / MS_PER_S + self._margin_s,
        )
        if not reply:
            return False
        for entry_id, fields in reply[0][1]:
            entry = entry_id.decode()
            answer = submission_of(entry, fields, self.settings)
            if isinstance(answer, Refusal):
                self._refusals.append((answer.reason.value, entry, answer.detail))
            else:
                self._pending.append(answer)
            self._read_until = entry
        return True

    async def _submit(self) -> None:
        if not self._pending:
            return
        answers = await self._submitter.submit(self._pending, "")
        self.accepted += answers.count(Acceptance.ACCEPTED)
        self.duplicate += answers.count(Acceptance.DUPLICATE)
        lines = zip(self._pending, answers, strict=True)
        self._pending = [line for line, answer in lines if answer is Acceptance.BUSY]

    async def _remember(self, lease: Lease) -> None:
        refusals = chain.from_iterable(self._refusals)
        reply = await self._functions.call(
            b"nx_intake", lease.epoch, lease.nonce, self.settings.stream, self._read_until, *refusals
        )
        if reply[0] != b"OK":
            raise Fenced(f"the lease of epoch {lease.epoch} is somebody else's")
        self.refused += len(self._refusals)
        cursor = self._read_until
        self._forget()
        self._cursor = cursor

    async def _back_off(self) -> None:
        await self._sleep(self._backoff_ms / MS_PER_S)
        self._backoff_ms = min(2 * self._backoff_ms, BACKOFF_MS_MAX)
