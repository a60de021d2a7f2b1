"""One trace from whoever submits through the decision to the worker, as a real collector gets it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from nexus_sched.client import AsyncClient
from nexus_sched.client.tracing import sending
from nexus_sched.model.trace import SpanContext, context_of, sampled, traceparent_of
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.otlp_receiver import Receiver, attributes
from tests.integration.programs import Program, Programs

TIMEOUT_S = 20.0
UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
PROBE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Switchable(trace.TracerProvider):
    """The provider of this process, which can be set once only: it is switched off again, for the tests behind this."""

    def __init__(self) -> None:
        self.behind: trace.TracerProvider = trace.NoOpTracerProvider()

    def get_tracer(self, *arguments: Any, **named: Any) -> trace.Tracer:
        return self.behind.get_tracer(*arguments, **named)


SWITCHABLE = Switchable()


@contextmanager
def tracing_to(endpoint: str) -> Iterator[None]:
    """OpenTelemetry as an application sets it up."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(SWITCHABLE)
    SWITCHABLE.behind = provider
    try:
        yield
    finally:
        SWITCHABLE.behind = trace.NoOpTracerProvider()
        provider.shutdown()


async def followed(client: AsyncClient, receiver: Receiver, folder: Path) -> None:
    """Return once the gateway follows the journal: what came before that makes no spans."""
    async with asyncio.timeout(TIMEOUT_S):
        while not receiver.named("schedule awaiting"):
            probe = await client.submit("awaiting", str(folder / "diary"), 0.01, traceparent=PROBE)
            await probe.result(timeout=TIMEOUT_S)


def linked(receiver: Receiver, name: str) -> list[Any]:
    """The spans of a name that are linked to what the client sent in its own trace."""
    sent = {span.trace_id for span in receiver.named("send awaiting")}
    return [span for span in receiver.named(name) if {link.trace_id for link in span.links} & sent]


async def test_life_of_a_sampled_task_is_one_trace(tmp_path: Path):
    with TestServer(VALKEY) as server, Receiver() as receiver, tracing_to(receiver.endpoint):
        programs = Programs(server.url, "traced", tmp_path)
        tracing = ("--set", f"tracing.endpoint={receiver.endpoint}")
        try:
            programs.scheduler()
            programs.start("run", "--role", "gateway", "--set", "http.port=0", *tracing)
            application = "tests.integration.worker_application:app"
            programs.start("worker", application, "--id", "w1", "--slots", "2", *tracing)
            async with AsyncClient(server.url, pool="traced") as client:
                first = await client.submit("awaiting", str(tmp_path / "diary"), 0.01, traceparent=UNSAMPLED)
                assert await first.result(timeout=TIMEOUT_S) == "awaited"
                await followed(client, receiver, tmp_path)
                with trace.get_tracer("test").start_as_current_span("order"):
                    task = await client.submit("awaiting", str(tmp_path / "diary"), 0.05)
                assert await task.result(timeout=TIMEOUT_S) == "awaited"
                await asyncio.to_thread(
                    receiver.until,
                    lambda: all(
                        linked(receiver, name) for name in ("schedule awaiting", "process awaiting", "receive traced")
                    ),
                )
            (order,), (send,) = receiver.named("order"), receiver.named("send awaiting")
            (received,), (schedule,) = linked(receiver, "receive traced"), linked(receiver, "schedule awaiting")
            (process,) = linked(receiver, "process awaiting")
            assert send.parent_span_id == order.span_id
            for span in (received, schedule, process):
                assert [(link.trace_id, link.span_id) for link in span.links] == [(send.trace_id, send.span_id)]
            for span in (schedule, process):
                assert (span.trace_id, span.parent_span_id) == (send.trace_id, send.span_id)
            assert received.trace_id != send.trace_id
            assert attributes(received)["messaging.batch.message_count"] == 1
            about, ran = attributes(schedule), attributes(process)
            assert about["messaging.message.id"] == ran["messaging.message.id"] == task.id
            assert about["nexus.decision"] == ran["nexus.decision"]
            assert (about["nexus.worker"], about["nexus.attempt"], ran["nexus.outcome"]) == ("w1", 1, "succeeded")
            assert [event.name for event in schedule.events] == ["predict", "score"]
            assert send.start_time_unix_nano <= process.start_time_unix_nano < process.end_time_unix_nano
            assert process.end_time_unix_nano - process.start_time_unix_nano >= 45_000_000
            services = {receiver.services[span.span_id] for span in (send, schedule, process)}
            assert services == {"shop", "nexus-sched-gateway", "nexus-sched-worker"}
            assert not any(b"4bf92f3577b34da6" in body for body in receiver.bodies)  # nobody wanted that one
        finally:
            programs.close()


async def test_trace_of_a_caller_goes_on_through_a_submission_over_http(tmp_path: Path):
    caller = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
    with TestServer(VALKEY) as server, Receiver() as receiver:
        programs = Programs(server.url, "traced", tmp_path)
        tracing = ("--set", f"tracing.endpoint={receiver.endpoint}")
        try:
            programs.scheduler()
            door = ("--insecure-no-auth", "--set", "http.port=0")
            gateway = programs.start("run", "--role", "gateway", *door, *tracing)
            programs.start("worker", "tests.integration.worker_application:app", "--id", "w1", *tracing)
            task = {"type": "blocking", "args": [str(tmp_path / "diary"), 0.01], "eta": False}
            url = await asyncio.to_thread(url_of, gateway)
            async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
                for said in (UNSAMPLED, "nothing of the kind"):  # served, and nobody gets a span of it
                    answer = await client.post("/v1/tasks", json=task, headers={"traceparent": said})
                    assert (answer.status_code, answer.headers.get("traceparent")) == (202, None)
                async with AsyncClient(server.url, pool="traced") as direct:
                    await followed(direct, receiver, tmp_path)
                said = traceparent_of(caller, is_sampled=True)
                alone = await client.post("/v1/tasks", json=task, headers={"traceparent": said})
                two = {"tasks": [task, task]}
                both = await client.post("/v1/tasks:batch", json=two, headers={"traceparent": said})
                assert (alone.status_code, both.status_code) == (202, 202)
            await asyncio.to_thread(
                receiver.until,
                lambda: len(receiver.named("schedule blocking")) == len(receiver.named("process blocking")) == 3,
            )
            (send,), (batch,) = receiver.named("send blocking"), receiver.named("send batch")
            assert (
                attributes(send)["messaging.batch.message_count"],
                attributes(batch)["messaging.batch.message_count"],
            ) == (1, 2)
            for span, answer in ((send, alone), (batch, both)):
                assert int.from_bytes(span.trace_id, "big") == caller.trace_id
                assert int.from_bytes(span.parent_span_id, "big") == caller.span_id
                carried = SpanContext(caller.trace_id, int.from_bytes(span.span_id, "big"))
                assert answer.headers["traceparent"] == traceparent_of(carried, is_sampled=True)
            below = [send.span_id, batch.span_id, batch.span_id]
            for name in ("schedule blocking", "process blocking"):
                spans = receiver.named(name)
                assert {span.trace_id for span in spans} == {send.trace_id}
                assert sorted(span.parent_span_id for span in spans) == sorted(below)
                assert sorted(link.span_id for span in spans for link in span.links) == sorted(below)
            heard = [link.span_id for span in _received(receiver, send.trace_id) for link in span.links]
            assert sorted(heard) == sorted(below)
        finally:
            programs.close()


def _received(receiver: Receiver, trace_id: bytes) -> list[Any]:
    """The spans of turns that took in tasks of this trace."""
    return [span for span in receiver.named("receive traced") if any(link.trace_id == trace_id for link in span.links)]


def url_of(gateway: Program) -> str:
    """Where the API is, once it has been said."""
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while (found := re.search(r" at (http://[^;]+);", gateway.output)) is None:
        assert time.monotonic() < give_up_at_s, gateway.output
        time.sleep(0.02)
    return found[1]


async def test_client_without_a_tracer_of_its_own_passes_nothing_on(tmp_path: Path):
    with sending("resize") as traceparent:
        assert traceparent is None  # OpenTelemetry is loaded, and nobody has set it up
    with Receiver() as receiver, tracing_to(receiver.endpoint):
        with sending("resize") as traceparent:
            assert traceparent is not None
            assert sampled(traceparent)
        (span,) = receiver.named("send resize")
        context = context_of(traceparent)
        assert context is not None
        assert int.from_bytes(span.span_id, "big") == context.span_id
    with sending("resize") as traceparent:
        assert traceparent is None
