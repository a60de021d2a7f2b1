"""A worker's side of a shard through a gateway. The worker needs to reach nothing else.

The gateway's errors carry the codes of `nexus_sched.errors`, so a worker cannot tell it from a store. A gateway that
cannot be reached is a store that cannot be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from nexus_sched.adapters.grpc.access import GatewayAccess
from nexus_sched.errors import (
    Fenced,
    InvalidInput,
    NexusError,
    PoolUnknown,
    StateLost,
    StoreAuthRefused,
    StoreError,
    StoreLoading,
    StoreNotPersisting,
    StoreOutOfMemory,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnsuitable,
)
from nexus_sched.model.outcome import Outcome, Receipt
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import CODE_METADATA, FETCH, LEAVE, MESSAGES, POOL_METADATA, REGISTER, STEP
from nexus_sched.runtime.ports import CompletionLine, InboxItem, StartLine, StepReply
from nexus_sched.units import MS_PER_S

TIMEOUT_MS_DEFAULT = 5_000
FETCH_MAX = 1_000
WAIT_MS_MAX = 30_000  # whoever wants to wait for longer asks again
_CONTROLS = {messages.INBOX_KIND_TASK: "", messages.INBOX_KIND_STOP: "stop", messages.INBOX_KIND_PREEMPT: "preempt"}
_OUTCOMES = {
    Outcome.SUCCEEDED: messages.RUN_OUTCOME_SUCCEEDED,
    Outcome.FAILED: messages.RUN_OUTCOME_FAILED,
    Outcome.TIMED_OUT: messages.RUN_OUTCOME_TIMED_OUT,
    Outcome.CANCELLED: messages.RUN_OUTCOME_CANCELLED,
    Outcome.REJECTED: messages.RUN_OUTCOME_REJECTED,
    Outcome.PREEMPTED: messages.RUN_OUTCOME_PREEMPTED,
}
_RECEIPTS = {
    messages.RUN_RECEIPT_STALE: Receipt.STALE,
    messages.RUN_RECEIPT_ACCEPTED: Receipt.ACCEPTED,
    messages.RUN_RECEIPT_REPEATED: Receipt.REPEATED,
    messages.RUN_RECEIPT_LATE: Receipt.LATE,
    messages.RUN_RECEIPT_RETURNED: Receipt.RETURNED,
}
_KNOWN: tuple[type[NexusError], ...] = (
    *(Fenced, InvalidInput, PoolUnknown, StateLost, StoreAuthRefused, StoreError, StoreLoading, StoreNotPersisting),
    *(StoreOutOfMemory, StoreReadOnly, StoreUnreachable, StoreUnsuitable),
)
_BY_CODE = {known.code: known for known in _KNOWN}
_BY_STATUS: dict[grpc.StatusCode, type[NexusError]] = {
    grpc.StatusCode.UNAUTHENTICATED: StoreAuthRefused,
    grpc.StatusCode.PERMISSION_DENIED: StoreAuthRefused,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.UNIMPLEMENTED: StoreUnsuitable,
}


class GrpcWorkerStore:
    """`WorkerStore` through a gateway, for workers of the pool `pool`, or of the gateway's own.

    Every call raises `PoolUnknown` if the gateway does not serve that pool.
    """

    def __init__(self, access: GatewayAccess, pool: str | None = None, *, timeout_ms: int = TIMEOUT_MS_DEFAULT) -> None:
        self._access = access
        self._pool = pool
        self._timeout_s = timeout_ms / MS_PER_S
        self._channel: Any = None
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._calls: dict[str, Any] = {}

    async def open(self) -> None:
        """Read the files; the connection is made with the first call. Raises `InvalidInput`."""
        await self.close()
        self._metadata = self._access.metadata()
        if self._pool is not None:
            self._metadata += ((POOL_METADATA, self._pool),)
        channel = self._channel = self._access.channel()
        for path in (REGISTER, FETCH, STEP, LEAVE):
            asked, answer = MESSAGES[path]
            self._calls[path] = channel.unary_unary(
                path, request_serializer=asked.SerializeToString, response_deserializer=answer.FromString
            )

    async def close(self) -> None:
        """Close all connections. Never raises."""
        self._calls.clear()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def register(self, worker: str, offer: bytes) -> int:
        """Announce a new incarnation and get its number. `offer` is an encoded `WorkerOffer`."""
        asked = messages.RegisterRequest(worker=worker, offer=offer)
        reply: messages.RegisterResponse = await self._call(REGISTER, asked)
        return reply.incarnation

    async def step(
        self,
        worker: str,
        incarnation: int,
        report: bytes,
        completions: Sequence[CompletionLine],
        starts: Sequence[StartLine],
    ) -> StepReply:
        """Results, next starts and heartbeat in one call. Raises `Fenced`: register again."""
        asked = messages.StepRequest(
            worker=worker,
            incarnation=incarnation,
            report=report,
            completions=[
                messages.CompletedRun(
                    task_id=line.task_id,
                    attempt=line.attempt,
                    entry=line.inbox_entry,
                    again=not line.final,
                    outcome=_OUTCOMES[line.outcome],
                    completion=line.fact,
                    result=line.result,
                )
                for line in completions
            ],
            starts=[
                messages.StartClaim(task_id=line.task_id, attempt=line.attempt, entry=line.inbox_entry)
                for line in starts
            ],
        )
        reply: messages.StepResponse = await self._call(STEP, asked)
        receipts = [_RECEIPTS[receipt] for receipt in reply.receipts]
        return StepReply(receipts, [claim.envelope if claim.granted else None for claim in reply.claims])

    async def leave(self, worker: str, incarnation: int) -> int:
        """Say good-bye; what is still in the inbox is reclaimed. Gives how many. Raises `Fenced`."""
        asked = messages.LeaveRequest(worker=worker, incarnation=incarnation)
        reply: messages.LeaveResponse = await self._call(LEAVE, asked)
        return reply.returned

    async def read_inbox(self, worker: str, after: str, count: int, block_ms: int) -> list[InboxItem]:
        """Entries behind `after` ("0-0" for all). Waits up to `block_ms` for the first one."""
        wait_ms = min(max(0, block_ms), WAIT_MS_MAX)
        asked = messages.FetchRequest(worker=worker, after=after, count=min(count, FETCH_MAX), wait_ms=wait_ms)
        reply: messages.FetchResponse = await self._call(FETCH, asked, wait_ms / MS_PER_S)
        return [
            InboxItem(entry.entry, _CONTROLS.get(entry.kind, ""), entry.task_id, entry.attempt)
            for entry in reply.entries
        ]

    async def _call(self, path: str, asked: object, wait_s: float = 0.0) -> Any:
        call = self._calls.get(path)
        if call is None:
            raise StoreUnreachable(f"{self._access.target}: closed")
        try:
            return await call(asked, timeout=self._timeout_s + wait_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error, self._access.target) from None
        except grpc.aio.UsageError:
            raise StoreUnreachable(f"{self._access.target}: closed") from None


def error_of(error: grpc.aio.AioRpcError, target: str) -> NexusError:
    """What an answer of gRPC means to a worker."""
    code = dict(error.trailing_metadata() or ()).get(CODE_METADATA, "")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(error.code(), StoreUnreachable)
    said = error.details() or error.code().name.lower()
    return kind(said if code else f"gateway {target}: {said}")
