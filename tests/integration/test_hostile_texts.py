"""Two hundred hostile texts through real processes: shown to everybody who looks, obeyed by nothing.

They are the errors that a real worker's functions raise, and the types, labels, names and ids that clients, producers
and workers send. What is refused is refused with a stable code; the rest comes back as it was, escaped: in JSON, in
metrics, as events, in tables of the command line, and in logs for people.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import msgspec
import pytest
import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from nexus_sched.adapters.redis import RedisWorkerStore
from nexus_sched.cli import main
from nexus_sched.client import AsyncClient
from nexus_sched.errors import TaskFailed
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import REGISTER
from nexus_sched.testing.gateways import grpc_door
from nexus_sched.testing.servers import VALKEY, TestServer
from nexus_sched.testing.stores import MemoryFactory
from tests.integration.hostile import HOSTILE, SEEDS
from tests.integration.programs import Programs
from tests.integration.test_gateway_process import address_of
from tests.unit.gateway.grpc.bench import Caller, capacity, code_of

POOL = "hostile"
TIMEOUT_S = 20.0
REFUSED = {"INVALID_INPUT", "ROUTE_UNKNOWN", "TASK_UNKNOWN", "WORKER_UNKNOWN", "METHOD_NOT_ALLOWED"}
APPLICATION = """
from nexus_sched.worker import App

app = App()


@app.task
def fail(text: str) -> None:
    raise ValueError(text)
"""
# One worker whose every run fails, and which goes on all the same.
PATIENT = ("worker_breaker.failures=1000", "worker_breaker.success_min=0.0")
ERRORS = list(dict.fromkeys(text for text in HOSTILE if len(text) < 200))


class Stage:
    """A server with everything beside it, and whoever asks."""

    def __init__(self, server: TestServer, programs: Programs, directory: Path) -> None:
        self.server = server
        self.flags = ["--redis-url", server.url, "--set", f"pool.name={POOL}"]
        form = ("--set", "logging.format=console", "--set", "logging.level=debug")
        (directory / "hostile_application.py").write_text(APPLICATION)
        self.started = [
            programs.scheduler("logging.format=console", "logging.level=debug", *PATIENT),
            programs.start("run", "--role", "gateway", "--insecure-no-auth", "--set", "http.port=0", *form),
            programs.start("worker", "hostile_application:app", "--id", "w1", "--slots", "8", *form),
        ]
        self.http = httpx.Client(base_url=address_of(self.started[1]), timeout=TIMEOUT_S)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, POOL, tmp_path)
        try:
            opened = Stage(server, programs, tmp_path)
            with opened.http:
                yield opened
        finally:
            programs.close()


def test_hostile_texts_are_shown_and_obeyed_by_nothing(stage: Stage, capsys: pytest.CaptureFixture[str]):
    tasks = [{"type": "fail", "args": [text]} for text in ERRORS]
    ids = [each["task_id"] for each in stage.http.post("/v1/tasks:batch", json={"tasks": tasks}).json()["tasks"]]
    asyncio.run(heard_by_who_waits(stage.server.url, dict(zip(ids, ERRORS, strict=True))))
    for text in ERRORS[:: len(ERRORS) // 10]:
        shown_by_commands(stage, ["submit", "fail", "--payload", json.dumps([text]), "--wait"], capsys, code=1)
    refused_by_the_gateway(stage.http)
    sent_past_the_gateway(stage.server.url)
    asyncio.run(claimed_by_workers(stage.server.url))
    until(lambda: len(asked(stage, "/v1/dead-letters?limit=1000")["letters"]) >= len(SEEDS))

    letters = asked(stage, "/v1/dead-letters?limit=1000")["letters"]
    for path in ("/v1/workers", "/v1/mode", "/v1/predictors", "/v1/audit?limit=1000", "/v1/config", "/v1/overrides"):
        asked(stage, path)
    for task_id in ids[:: len(ids) // 10]:
        asked(stage, f"/v1/tasks/{task_id}")
        asked(stage, f"/v1/tasks/{task_id}/explain")
    for letter in letters[:: len(letters) // 10]:
        shown_by_commands(stage, ["dead", "show", letter["entry"]], capsys)
    for command in (["dead", "list", "--limit", "1000"], ["status"], ["workers", "list"], ["audit", "tail"]):
        shown_by_commands(stage, command, capsys)
    scraped(stage.http)
    streamed(stage.http)
    for program in stage.started:
        program.terminate()
        program.wait()
        assert harmful(program.output) == []


async def heard_by_who_waits(url: str, texts: dict[str, str]) -> None:
    """Whoever submitted hears of every error what it said, to the letter."""
    async with AsyncClient(url, pool=POOL) as client:
        for task_id, text in texts.items():
            with pytest.raises(TaskFailed) as raised:
                await client.result(task_id, timeout=TIMEOUT_S)
            assert text in str(raised.value)


def refused_by_the_gateway(http: httpx.Client) -> None:
    """What clients may not say is refused with a code; what they may is taken."""
    for text in dict.fromkeys(HOSTILE):
        answers = [http.post("/v1/tasks", json={"type": text, "eta": False})]
        if text in SEEDS:
            answers += [
                http.post("/v1/tasks", json={"type": "fail", "requires": [text], "eta": False}),
                http.post("/v1/tasks", json={"type": "fail", "tenant": text, "eta": False}),
                http.post("/v1/workers/w1:cordon", json={"reason": "", "dry_run": text}),
                http.post("/v1/pauses", json={"type": "none", "reason": f"{text}!"}),
            ]
        for answer in answers:
            assert harmful(answer.text) == []
            if answer.status_code >= 400:
                assert answer.status_code < 500, answer.text
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["code"] in REFUSED, answer.text


def sent_past_the_gateway(url: str) -> None:
    """Producers with a key to the store write what they like."""
    with redis.Redis.from_url(url) as producer:
        for number, text in enumerate(SEEDS):
            spec = msgspec.msgpack.encode({"type": text})
            producer.xadd(f"{{nx:{POOL}:0}}:q:5", {"i": text or "-", "m": text, "b": text})
            producer.xadd(f"{{nx:{POOL}:0}}:q:5", {"i": f"typed-{number}", "m": spec, "b": "1"})


async def claimed_by_workers(url: str) -> None:
    """Workers with a key to the store call themselves, and what they have, as they like."""
    store = RedisWorkerStore(url, POOL)
    await store.open()
    try:
        for number, text in enumerate(SEEDS):
            offer = {"slots": 1, "labels": {text: text}, "taints": [text], "worker_class": text}
            await store.register(text or "-", msgspec.msgpack.encode({"slots": 1}))
            await store.register(f"labelled-{number}", msgspec.msgpack.encode(offer))
    finally:
        await store.close()


def shown_by_commands(stage: Stage, command: list[str], capsys: pytest.CaptureFixture[str], *, code: int = 0) -> None:
    """For people and for programs, and without commands to a terminal."""
    for flags in ([], ["--json"]):
        capsys.readouterr()
        assert main([*command, *stage.flags, *flags]) == code
        shown = capsys.readouterr()
        assert harmful(shown.out + shown.err) == []
        assert shown.out + shown.err
    json.loads(shown.out)


def scraped(http: httpx.Client) -> None:
    """Both formats are read by a parser, and have no type that is none."""
    for accept, parse in (("text/plain", prometheus), ("application/openmetrics-text", openmetrics)):
        text = http.get("/metrics", headers={"accept": accept}).text
        assert harmful(text) == []
        labels = {value for family in parse(text) for sample in family.samples for value in sample.labels.values()}
        assert all(value.isprintable() for value in labels)


def streamed(http: httpx.Client) -> None:
    """Events are what they seem: three lines, and JSON in the last."""
    with http.stream("GET", "/v1/stream") as stream:
        lines = stream.iter_lines()
        event = [next(lines) for _ in range(4)]
    assert [line.partition(":")[0] for line in event] == ["event", "id", "data", ""]
    assert harmful(event[2]) == []
    json.loads(event[2].removeprefix("data: "))


def asked(stage: Stage, path: str) -> dict:
    """What the API says, as data."""
    answer = stage.http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert not any(character < " " for character in answer.text)
    return answer.json()


def harmful(text: str) -> list[str]:
    """The characters that a terminal might obey."""
    return [each for each in text if not each.isprintable() and each != "\n"]


def until(holds: Callable[[], bool]) -> None:
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < give_up_at_s
        time.sleep(0.1)


async def test_grpc_door_refuses_names_and_labels_that_are_none():
    refused_names = refused_labels = 0
    async with grpc_door(MemoryFactory()) as door, grpc.aio.insecure_channel(door.target) as channel:
        caller = Caller(channel)
        stream = caller.stream()
        for text in dict.fromkeys(HOSTILE):
            try:
                await caller.call(REGISTER, worker=text, offer=b"")
            except grpc.aio.AioRpcError as error:
                refused_names += 1
                assert (code_of(error), error.code()) == ("INVALID_INPUT", grpc.StatusCode.INVALID_ARGUMENT)
                assert harmful(error.details() or "") == []
            labels = {text: text}
            (receipt,) = await caller.say(stream, capacity("w1", offer={"slots": 1, "labels": labels}))
            assert harmful(receipt.detail) == []
            refused_labels += receipt.status == messages.REPORT_STATUS_REFUSED
    assert min(refused_names, refused_labels) > 0.8 * len(set(HOSTILE))
