"""A worker's side of a shard on Redis. The inbox is read on a connection of its own, as reading blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from nexus_sched.adapters.redis.confirmation import ShardLevel
from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.library import RESULT_TTL_S_DEFAULT, ShardFunctions
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import (
    CONNECT_TIMEOUT_MS_DEFAULT,
    TIMEOUT_MS_DEFAULT,
    Argument,
    RespClient,
)
from nexus_sched.errors import Fenced
from nexus_sched.model.outcome import Receipt
from nexus_sched.runtime.ports import CompletionLine, InboxItem, StartLine, StepReply
from nexus_sched.units import MS_PER_S

_RECEIPTS = {receipt.value: receipt for receipt in Receipt}
_TAKEN = (Receipt.ACCEPTED, Receipt.REPEATED, Receipt.LATE)


class RedisWorkerStore:
    """`WorkerStore` on Redis or Valkey."""

    def __init__(
        self,
        url: str,
        pool: str = "default",
        shard: int = 0,
        *,
        result_ttl_s: int = RESULT_TTL_S_DEFAULT,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
    ) -> None:
        self.keys = ShardKeys(pool, shard)
        place = locator_of(url, self.keys.meta)
        self._writer = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._reader = RespClient(place, timeout_ms=timeout_ms, connect_timeout_ms=connect_timeout_ms)
        self._functions = ShardFunctions(self._writer, self.keys)
        self._level = ShardLevel(self._writer, self.keys)
        self._result_ttl_s = result_ttl_s
        self._margin_s = timeout_ms / MS_PER_S

    async def open(self) -> None:
        """Connect, and load the function library if the server has none."""
        await self._writer.open()
        await self._functions.install(replace=False)
        await self._reader.open()

    async def close(self) -> None:
        """Close all connections. Never raises."""
        await self._level.close()
        await self._reader.close()
        await self._writer.close()

    async def register(self, worker: str, offer: bytes) -> int:
        """Announce a new incarnation and get its number. `offer` is an encoded `WorkerOffer`."""
        return int(await self._functions.call(b"nx_register", worker, offer))

    async def step(
        self,
        worker: str,
        incarnation: int,
        report: bytes,
        completions: Sequence[CompletionLine],
        starts: Sequence[StartLine],
    ) -> StepReply:
        """Results, next starts and heartbeat in one call. Raises `Fenced`: register again.

        Results that have to be replicated are told again after `StoreNotReplicated`: a repeat is recognised.
        """
        wait_ms = await self._level.wait_ms() if completions else 0
        final_code = b"2" if wait_ms else b"1"  # 2: the end is not announced before it is replicated
        reply = await self._functions.call_in_turn(
            b"nx_step",
            worker,
            incarnation,
            self._result_ttl_s,
            report,
            len(completions),
            *chain.from_iterable(
                (task_id, attempt, entry, final_code if final else b"0", outcome.value, fact, result)
                for task_id, attempt, entry, final, outcome, fact, result, _ in completions
            ),
            *chain.from_iterable(starts),
            wait_ms=wait_ms,
        )
        if reply[0] != b"OK":
            raise Fenced(f"worker {worker}: incarnation {incarnation} is not the live one")
        receipts = [_RECEIPTS[code] for code in reply[1]]
        if wait_ms:
            told = zip(completions, receipts, strict=True)
            self._functions.tell(line.task_id for line, receipt in told if receipt in _TAKEN and not line.told)
        return StepReply(receipts, reply[2])

    async def leave(self, worker: str, incarnation: int) -> int:
        """Say good-bye; what is still in the inbox is reclaimed. Gives how many. Raises `Fenced`."""
        reply = await self._functions.call(b"nx_leave", worker, incarnation)
        if reply[0] != b"OK":
            raise Fenced(f"worker {worker}: incarnation {incarnation} is not the live one")
        return int(reply[1])

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> list[InboxItem]:
        """Entries behind `after` ("0-0" for all). Waits up to `block_ms` for the first one."""
        block: tuple[Argument, ...] = (b"BLOCK", block_ms) if block_ms > 0 else ()
        reply = await self._reader.call(
            b"XREAD",
            b"COUNT",
            count,
            *block,
            b"STREAMS",
            self.keys.inbox(worker),
            after,
            timeout_s=block_ms / MS_PER_S + self._margin_s,
        )
        return [_item(entry, fields) for entry, fields in reply[0][1]] if reply else []


def _item(entry: bytes, fields: list[bytes]) -> InboxItem:
    """Fields are `i <id> a <attempt>`, with `c <control>` before them in a control message."""
    if fields[0] == b"c":
        return InboxItem(entry.decode(), fields[1].decode(), fields[3].decode(), int(fields[5]))
    return InboxItem(entry.decode(), "", fields[1].decode(), int(fields[3]))
