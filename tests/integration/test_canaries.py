"""What must stay secret is planted everywhere, and searched in everything that anybody gets to see.

Canaries: a payload, a result and an error's text of tasks, the password in the store's URL, tokens of all roles, the
key of a collector. Searched: every line that any process logs at its most talkative level, also one that is killed and
one that follows it; the journal and all else that the store keeps for people, metrics, spans, pictures, explanations,
and what every route answers to every role. Submitters get their own result, and nobody else does.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import httpx
import pytest

from nexus_sched.adapters.redis import RedisSubmitterStore
from nexus_sched.client import AsyncClient
from nexus_sched.errors import TaskFailed
from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.gateway.access.table import HTTP_ROUTES
from nexus_sched.model.command import SetMode, encode_command
from nexus_sched.proto.service import REGISTER
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.otlp_receiver import Receiver
from tests.integration.programs import Programs
from tests.integration.test_gateway_process import address_of
from tests.integration.test_grpc import target_of
from tests.unit.gateway.grpc.bench import Caller

PAYLOAD, RESULT, ERROR = "canary-payload-4711", "canary-result-4712", "canary-error-4713"
PASSWORD, COLLECTOR_KEY = "canary-password-4714", "canary-collector-key-4715"
SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TIMEOUT_S = 20.0
APPLICATION = """
from nexus_sched.worker import App

app = App()


@app.task
def keep(secret: str) -> str:
    return "canary-result-4712"


@app.task
def fail(secret: str) -> None:
    raise ValueError("canary-error-4713 and " + secret)
"""


class Seen:
    """Everything that was looked at, by where it was."""

    def __init__(self) -> None:
        self.places: dict[str, bytes] = {}

    def add(self, place: str, text: bytes | str) -> None:
        self.places[place] = text if isinstance(text, bytes) else text.encode()

    def holding(self, canaries: list[str]) -> list[str]:
        return [
            f"{place} holds {canary}: ...{text[max(0, at - 80) : at + 80]!r}"
            for place, text in self.places.items()
            for canary in canaries
            if (at := text.find(canary.encode())) >= 0
        ]


@pytest.mark.parametrize("form", ["json", "console"])
async def test_nothing_secret_is_seen_by_anybody(tmp_path: Path, form: str):
    (tmp_path / "canary_application.py").write_text(APPLICATION)
    (tmp_path / "headers").write_text(f"authorization: {COLLECTOR_KEY}\n")
    made = {role: tokens.create("canary", role, tokens.now_utc(), None) for role in Role}
    tokens.write(tmp_path / "tokens.toml", [row for _, row in made.values()])
    texts = {role: text for role, (text, _) in made.items()}
    (tmp_path / "worker-token").write_text(texts[Role.WORKER])
    (tmp_path / "worker-token").chmod(0o600)
    seen = Seen()
    with TestServer(VALKEY, options={"requirepass": PASSWORD}) as server, Receiver() as receiver:
        url = f"unix://:{PASSWORD}@{server.socket_path}"
        programs = Programs(url, "canaries", tmp_path)
        common = ("--set", f"logging.format={form}", "--set", "logging.level=debug")
        traced = ("--set", f"tracing.endpoint={receiver.endpoint}", "--set", f"tracing.headers_file={tmp_path}/headers")
        started = []
        try:
            talkative = (f"logging.format={form}", "logging.level=debug")
            started.append(programs.scheduler(*talkative))
            rpc = ("--set", "grpc.enabled=true", "--set", "grpc.port=0")
            door = ("--set", "http.port=0", "--set", f"http.auth.tokens_file={tmp_path}/tokens.toml", *rpc)
            started.append(programs.start("run", "--role", "gateway", *door, *traced, *common))
            api = await asyncio.to_thread(address_of, started[1])
            started.append(programs.start("worker", "canary_application:app", "--id", "w1", *traced, *common))
            async with AsyncClient(url, pool="canaries") as client:
                kept = await client.submit("keep", PAYLOAD, traceparent=SAMPLED)
                assert await kept.result(timeout=TIMEOUT_S) == RESULT  # to whoever submitted, and to nobody else
                failed = await client.submit("fail", PAYLOAD, traceparent=SAMPLED, retry="any", max_attempts=2)
                with pytest.raises(TaskFailed, match=ERROR):
                    await failed.result(timeout=TIMEOUT_S)
                unknown = await client.submit("no-such-type", PAYLOAD)
                with pytest.raises(TaskFailed):
                    await unknown.result(timeout=TIMEOUT_S)
                waiting = await client.submit("keep", PAYLOAD, requires=["zone=nowhere"])
                seen.add("explanation", repr(await client.explain(waiting.id)))
                seen.add("status", repr(await client.status()))
                started[0].kill()
                started.append(programs.scheduler(*talkative))
                again = await client.submit("fail", PAYLOAD)
                with pytest.raises(TaskFailed, match=ERROR):
                    await again.result(timeout=TIMEOUT_S)
                proof = ("--set", f"worker.token_file={tmp_path}/worker-token")
                outside = ("--id", "w2", "--gateway", target_of(started[1]), *proof)
                started[2].terminate()
                await asyncio.to_thread(started[2].wait)
                started.append(programs.start("worker", "canary_application:app", *outside, *traced, *common))
                far = await client.submit("fail", PAYLOAD, traceparent=SAMPLED)
                with pytest.raises(TaskFailed, match=ERROR):
                    await far.result(timeout=TIMEOUT_S)
            for role, text in texts.items():
                await _answers(seen, api, role.value, text, waiting.id)
            await _refusals(seen, api, texts[Role.ADMIN])
            await _store(seen, url)
            await asyncio.to_thread(receiver.until, lambda: bool(receiver.named("process fail")))
            seen.add("spans", b"".join(receiver.bodies))
            server.kill()  # and what is said when the store goes
            await asyncio.sleep(1.0)
            for program in started:
                program.terminate()
            await asyncio.to_thread(started[1].wait)
        finally:
            programs.close()
    for number, program in enumerate(started):
        seen.add(f"log {number}", program.output)
        assert program.output
    secrets = [text.removeprefix("nxt_canary_") for text in texts.values()]
    assert seen.holding([PAYLOAD, RESULT, ERROR, PASSWORD, COLLECTOR_KEY, *secrets]) == []


async def _answers(seen: Seen, api: str, role: str, token: str, task_id: str) -> None:
    """What every route answers to a role: to what it may ask, and to bodies that are wrong."""
    wrong = {"type": 7, "args": [PAYLOAD], "reason": 7, "tasks": [{"type": 7, "args": [PAYLOAD]}]}
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=api, headers=headers, timeout=TIMEOUT_S) as client:
        answer = await client.post("/v1/workers/w2:cordon", json={"reason": "canaries"})
        seen.add(f"cordon by {role}", answer.content)
        for method, path in HTTP_ROUTES:
            if path == "/v1/stream":  # endless
                continue
            asked = path.format(task_id=task_id, worker="w2")
            answer = await client.request(method, asked, json=None if method == "GET" else wrong)
            seen.add(f"{method} {path} by {role}", answer.content + repr(answer.headers).encode())
        async with client.stream("GET", "/v1/stream") as stream:
            seen.add(f"stream by {role}", await anext(stream.aiter_bytes()))


async def _refusals(seen: Seen, api: str, token: str) -> None:
    """What is answered to those who ask in the wrong way, with the right token, a wrong one, and none."""
    async with httpx.AsyncClient(base_url=api) as client:
        for name, header in (("right", f"Bearer {token}"), ("wrong", f"Bearer {token}x"), ("odd", token)):
            for method, path in (("GET", "/metrics"), ("GET", "/v1/nothing"), ("POST", "/v1/tasks")):
                answer = await client.request(method, path, headers={"authorization": header}, content=PAYLOAD)
                seen.add(f"{method} {path} with the {name} token", answer.content + repr(answer.headers).encode())


async def _store(seen: Seen, url: str) -> None:
    """What the store keeps for people and schedulers, besides payloads and results themselves."""
    store = RedisSubmitterStore(url, "canaries", 0)
    await store.open()
    try:
        await store.command(encode_command(SetMode("shadow")))
        for seq, blob in await store.journal(0, 10_000):
            seen.add(f"turn {seq}", blob)
        seen.add("frame", await store.frame() or b"")
        for letter in await store.dead_letters("0-0", 100):
            seen.add(f"letter {letter.entry}", repr(letter))
    finally:
        await store.close()


async def test_refusals_of_the_grpc_door_repeat_nothing(tmp_path: Path):
    from nexus_sched.gateway.access.authority import Authority
    from nexus_sched.testing.gateways import grpc_door
    from nexus_sched.testing.stores import MemoryFactory

    text, row = tokens.create("canary", Role.VIEWER, tokens.now_utc(), None)
    tokens.write(tmp_path / "tokens.toml", [row])
    knows = Authority(str(tmp_path / "tokens.toml"))
    async with (
        grpc_door(MemoryFactory(), authority=knows) as door,
        grpc.aio.insecure_channel(door.target) as channel,
    ):
        for token in (text, text + "x"):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await Caller(channel, token).call(REGISTER, worker="w1", offer=PAYLOAD.encode())
            said = repr(raised.value.details()) + repr(raised.value.trailing_metadata())
            assert text.removeprefix("nxt_canary_") not in said
            assert PAYLOAD not in said
