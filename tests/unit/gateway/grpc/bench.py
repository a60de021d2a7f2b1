"""A client of the gRPC door that says anything, and words for what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import CODE_METADATA, MESSAGES, POOL_METADATA, REPORT


def capacity(worker: str, incarnation: int = 0, *, offer: dict[str, Any] | None = None, **said: Any):
    """A report; with incarnation 0 and no offer said it offers one slot."""
    if offer is None and incarnation == 0:
        offer = {"slots": 1}
    offered = None if offer is None else messages.Offer(**offer)
    return messages.WorkerCapacity(
        worker=worker, incarnation=incarnation, capacity=messages.Capacity(**said), offer=offered
    )


class Caller:
    """One connection to a door."""

    def __init__(self, channel: Any, token: str = "", pool: str = "") -> None:
        self._channel = channel
        sent = (("authorization", token and f"Bearer {token}"), (POOL_METADATA, pool))
        self._metadata = tuple((name, value) for name, value in sent if value)

    async def call(self, path: str, *, timeout: float = 5.0, **fields: Any) -> Any:
        """One unary call."""
        asked, answer = MESSAGES[path]
        call = self._channel.unary_unary(
            path, request_serializer=asked.SerializeToString, response_deserializer=answer.FromString
        )
        return await call(asked(**fields), timeout=timeout, metadata=self._metadata)

    def stream(self) -> Any:
        """A stream of reports."""
        asked, answer = MESSAGES[REPORT]
        call = self._channel.stream_stream(
            REPORT, request_serializer=asked.SerializeToString, response_deserializer=answer.FromString
        )
        return call(metadata=self._metadata)

    async def say(self, stream: Any, *workers: messages.WorkerCapacity) -> Sequence[messages.ReportReceipt]:
        """One message of reports, and the answers to them."""
        try:
            await stream.write(messages.ReportRequest(workers=workers))
            answer = await stream.read()
        except asyncio.InvalidStateError:
            answer = grpc.aio.EOF  # it has ended already
        if answer is grpc.aio.EOF:
            code = await stream.code()
            raise grpc.aio.AioRpcError(code, None, await stream.trailing_metadata(), await stream.details())
        return answer.receipts


def code_of(error: grpc.aio.AioRpcError) -> str:
    """The stable code in the answer."""
    return dict(error.trailing_metadata() or ()).get(CODE_METADATA, "")
