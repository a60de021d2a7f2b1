"""What is served by gRPC, and how it is bounded: the calls of `WorkerService`, health, reflection.

Every call passes the same doors: there has to be room, the caller has to be known and allowed, and it ends in time.
Only then is its message read, and taken apart here: to the transport every call is a stream of bytes, because it would
read and decode the message of a unary call before anybody has looked at who calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import Forbidden, InvalidInput, NexusError
from nexus_sched.gateway.grpc.callers import Caller, Recognise, check_speaks_for
from nexus_sched.gateway.grpc.calls import Doors, refuse, seconds_left
from nexus_sched.gateway.grpc.capacity import offer_of, report_of, worker_of
from nexus_sched.gateway.grpc.pools import PoolDoor, Pools
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import FETCH, LEAVE, MESSAGES, REGISTER, REPORT, SERVICE, STEP
from nexus_sched.units import MS_PER_S

REPORTS_PER_MESSAGE_MAX = 1_000
METADATA_BYTES_MAX = 16_384
PING_INTERVAL_MS_MIN = 10_000  # who pings more often without need is cut off
PING_STRIKES_MAX = 2
STREAMS_PER_CONNECTION_MAX = 1_000
READ_BUFFER_BYTES_MAX = 262_144
READ_CHUNK_BYTES_MAX = 65_536
KEEPALIVE_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
IDLE_CONNECTION_MS = 300_000

Answer = Callable[[PoolDoor, Any, float], Awaitable[Any]]


def options(section: GrpcSection) -> list[tuple[str, int]]:
    """Options of the server's transport."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_allowed_incoming_connections", section.connections_max),
        ("grpc.server_handshake_timeout_ms", section.handshake_timeout_ms),
        ("grpc.max_receive_message_length", section.message_bytes_max),
        ("grpc.max_send_message_length", -1),
        ("grpc.experimental.tcp_max_read_buffer_size", READ_BUFFER_BYTES_MAX),  # else a flood is read before it is
        ("grpc.experimental.tcp_max_read_chunk_size", READ_CHUNK_BYTES_MAX),  # looked at: 300 MB of frames for nobody
        ("grpc.http2.bdp_probe", 0),  # else windows grow, and whoever is not read fills them
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
        ("grpc.http2.max_ping_strikes", PING_STRIKES_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.max_connection_idle_ms", IDLE_CONNECTION_MS),
    ]


class WorkerService:
    """The calls, each for one of the pools."""

    def __init__(self, section: GrpcSection, pools: Pools, recognise: Recognise) -> None:
        self._section = section
        self._pools = pools
        self._recognise = recognise
        self.streams = Doors("streams", section.streams_max)
        self.calls = Doors("calls", section.calls_max)

    def handlers(self) -> Any:
        """What the server is given."""
        unary: dict[str, Answer] = {
            REGISTER: lambda pool, asked, _: pool.work.register(asked),
            FETCH: lambda pool, asked, left_s: pool.work.fetch(asked, left_s),
            STEP: lambda pool, asked, _: pool.work.step(asked),
            LEAVE: lambda pool, asked, _: pool.work.leave(asked),
        }
        made = {
            path.rpartition("/")[2]: grpc.stream_unary_rpc_method_handler(
                self._unary(path, answer), response_serializer=MESSAGES[path][1].SerializeToString
            )
            for path, answer in unary.items()
        }
        made[REPORT.rpartition("/")[2]] = grpc.stream_stream_rpc_method_handler(
            self._report, response_serializer=messages.ReportResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, made)

    def _unary(self, path: str, answer: Answer) -> Callable[[Any, Any], Awaitable[Any]]:
        async def call(_: Any, context: Any) -> Any:
            try:
                with self.calls.enter() as place:
                    caller = self._recognise(context, path)
                    pool = self._pools.of_call(context)
                    left_s = seconds_left(context, self._section.call_timeout_ms / MS_PER_S)
                    async with asyncio.timeout(left_s):
                        asked = await place.first(read(path, context))
                        if asked is None:
                            raise InvalidInput("the call carries no message")
                        check_speaks_for(caller, asked.worker)
                        return await answer(pool, asked, left_s)
            except (NexusError, TimeoutError) as error:
                await refuse(context, error)

        return call

    async def _report(self, _: Any, context: Any) -> AsyncIterator[messages.ReportResponse]:
        """Answer each message; a stream that says nothing for as long as a worker may be silent ends."""
        silence_s = self._section.heartbeat_timeout_ms / MS_PER_S
        try:
            with self.streams.enter() as place:
                caller = self._recognise(context, REPORT)
                pool = self._pools.of_call(context)
                message = place.first(read(REPORT, context))
                while True:
                    async with asyncio.timeout(silence_s):
                        asked = await message
                    if asked is None:
                        return
                    yield await self._taken(pool, asked, caller)
                    message = read(REPORT, context)
        except (NexusError, TimeoutError) as error:
            await refuse(context, error)

    async def _taken(self, pool: PoolDoor, asked: messages.ReportRequest, caller: Caller) -> messages.ReportResponse:
        if len(asked.workers) > REPORTS_PER_MESSAGE_MAX:
            raise InvalidInput(f"{len(asked.workers)} reports in a message, at most {REPORTS_PER_MESSAGE_MAX} are read")
        receipts = await asyncio.gather(*(self._receipt(pool, said, caller) for said in asked.workers))
        return messages.ReportResponse(receipts=receipts)

    async def _receipt(self, pool: PoolDoor, said: messages.WorkerCapacity, caller: Caller) -> messages.ReportReceipt:
        """What becomes of one report: whatever is wrong with it is nothing to the others. Raises a `StoreError`."""
        incarnation = said.incarnation
        try:
            check_speaks_for(caller, said.worker)
            worker, report = worker_of(said), report_of(said)
            if not incarnation:
                offer = offer_of(said, self._section.heartbeat_timeout_ms)
                incarnation = await pool.store.register(worker, offer)
        except (InvalidInput, Forbidden) as error:
            return messages.ReportReceipt(
                worker=said.worker, status=messages.REPORT_STATUS_REFUSED, detail=str(error), incarnation=incarnation
            )
        live = await pool.reports.take(worker, incarnation, report)
        status = messages.REPORT_STATUS_ACCEPTED if live else messages.REPORT_STATUS_FENCED
        return messages.ReportReceipt(worker=worker, status=status, incarnation=incarnation)


async def read(path: str, context: Any) -> Any:
    """The next message of a call, `None` at its end. Raises `InvalidInput` for bytes that are none."""
    blob = await context.read()
    if blob is grpc.aio.EOF:
        return None
    try:
        return MESSAGES[path][0].FromString(blob)
    except DecodeError:
        raise InvalidInput("what the call carries is not its message") from None


class HealthSign:
    """The health service: whether this gateway can serve workers now."""

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()

    def add_to(self, server: Any) -> None:
        """Serve health, and reflection of all that is served."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)

    async def show(self, *, serving: bool) -> None:
        """Tell everybody who watches."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        for name in (health.OVERALL_HEALTH, SERVICE):
            await self._servicer.set(name, status.SERVING if serving else status.NOT_SERVING)
