"""Who may come through the door, and for whom they may speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from nexus_sched.adapters.grpc import GatewayAccess, GrpcWorkerStore
from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import ConfigInvalid, InvalidInput, ListenRefused, StoreAuthRefused, StoreUnreachable
from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.access.roles import EVERYBODY, Role
from nexus_sched.gateway.access.table import GRPC_METHODS
from nexus_sched.gateway.grpc.callers import address_of
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.proto.service import FETCH, LEAVE, MESSAGES, REGISTER, STEP
from nexus_sched.testing.gateways import grpc_door
from nexus_sched.testing.stores import MemoryFactory
from tests.unit.gateway.grpc import certificates
from tests.unit.gateway.grpc.bench import Caller, capacity, code_of

CALLS = (REGISTER, FETCH, STEP, LEAVE)


def token_file(folder: Path, role: Role) -> tuple[Authority, str]:
    """An authority with one token, and that token."""
    text, row = tokens.create("one", role, tokens.now_utc(), None)
    path = folder / "tokens.toml"
    tokens.write(path, [row])
    return Authority(str(path)), text


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), code_of(raised.value)


@asynccontextmanager
async def connected(authority: Authority) -> AsyncIterator[Any]:
    """A channel to a door of this authority."""
    behind = MemoryFactory()
    async with grpc_door(behind, None, authority) as door, grpc.aio.insecure_channel(door.target) as channel:
        yield channel


def test_every_call_has_its_row_in_the_table():
    assert set(GRPC_METHODS) == set(MESSAGES)
    assert all(group is not EVERYBODY for group in GRPC_METHODS.values())


async def test_without_tokens_only_this_machine_may_work_and_only_if_that_is_wanted():
    async with connected(Authority(None)) as channel:
        caller = Caller(channel)
        for path in CALLS:
            answer = await refused(caller.call(path, worker="w1"))
            assert answer == (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")
        answer = await refused(caller.say(caller.stream(), capacity("w1")))
        assert answer == (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_token_has_to_be_a_worker_s(tmp_path: Path, role: Role):
    authority, text = token_file(tmp_path, role)
    async with connected(authority) as channel:
        call = Caller(channel, text).call(REGISTER, worker="w1", offer=b"")
        if role in (Role.WORKER, Role.ADMIN):
            assert (await call).incarnation == 1
        else:
            assert await refused(call) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")
        for wrong in ("", "nxt_one_wrong", text + "x"):
            answer = await refused(Caller(channel, wrong).call(REGISTER, worker="w1"))
            assert answer == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_certificate_says_for_whom_its_holder_speaks(tmp_path: Path):
    signs = certificates.Authority(tmp_path)
    certificate, key = signs.sign_server()
    section = GrpcSection(
        pack_interval_ms=1, tls_certificate_file=certificate, tls_key_file=key, client_ca_file=signs.ca_file
    )
    behind = MemoryFactory()
    async with grpc_door(behind, section, Authority(None)) as door:
        mine = dict(zip(("certificate_file", "key_file"), signs.sign_worker("w1", "w2"), strict=True))
        access = GatewayAccess(target=door.target, ca_file=signs.ca_file, **mine)
        store = GrpcWorkerStore(access)
        await store.open()
        assert [await store.register(worker, b"") for worker in ("w1", "w2")] == [1, 1]
        for act in (
            store.register("w3", b""),
            store.step("w3", 1, b"", [], []),
            store.read_inbox("w3", "0-0", 1, 0),
            store.leave("w3", 1),
        ):
            with pytest.raises(StoreAuthRefused, match="may not speak for the worker 'w3'"):
                await act
        caller = Caller(access.channel())
        receipts = await caller.say(caller.stream(), capacity("w1", 1), capacity("w3"), capacity("w2", 1))
        assert [receipt.status for receipt in receipts] == [
            messages.REPORT_STATUS_ACCEPTED,
            messages.REPORT_STATUS_REFUSED,
            messages.REPORT_STATUS_ACCEPTED,
        ]
        assert set(behind.shard.workers) == {"w1", "w2"}
        await store.close()

        nameless = signs.sign("nameless")
        strangers = certificates.Authority(tmp_path, "strangers")
        for pair, expected in (
            (nameless, "alternative name"),
            (strangers.sign_worker("w1"), "gateway"),
            ((None, None), "gateway"),
        ):
            store = GrpcWorkerStore(
                GatewayAccess(target=door.target, ca_file=signs.ca_file, certificate_file=pair[0], key_file=pair[1]),
                timeout_ms=1_500,
            )
            await store.open()
            with pytest.raises((StoreAuthRefused, StoreUnreachable), match=expected):
                await store.register("w1", b"")
            await store.close()


async def test_worker_shows_its_token_from_a_file_over_tls(tmp_path: Path):
    signs = certificates.Authority(tmp_path)
    certificate, key = signs.sign_server()
    authority, text = token_file(tmp_path, Role.WORKER)
    (tmp_path / "token").write_text(text + "\n")
    section = GrpcSection(tls_certificate_file=certificate, tls_key_file=key)
    async with grpc_door(MemoryFactory(), section, authority) as door:
        access = GatewayAccess(target=door.target, ca_file=signs.ca_file, token_file=str(tmp_path / "token"))
        store = GrpcWorkerStore(access)
        await store.open()
        assert await store.register("w1", b"") == 1
        await store.close()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"host": "0.0.0.0"}, "http.auth.tokens_file"),
        ({"tls_certificate_file": "c"}, "need each other"),
        ({"tls_key_file": "k"}, "need each other"),
        ({"client_ca_file": "c"}, "needs `grpc.tls_certificate_file`"),
    ],
)
async def test_door_that_would_stand_open_is_refused(fields: dict[str, str], word: str):
    with pytest.raises(ConfigInvalid, match=word):
        async with grpc_door(MemoryFactory(), GrpcSection(**fields)):
            pass


async def test_tokens_do_not_travel_in_the_clear(tmp_path: Path):
    authority, _ = token_file(tmp_path, Role.WORKER)
    with pytest.raises(ConfigInvalid, match="set TLS files"):
        async with grpc_door(MemoryFactory(), GrpcSection(host="0.0.0.0"), authority):
            pass


async def test_files_and_ports_that_cannot_be_used_are_named(tmp_path: Path):
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ConfigInvalid, match=r"tls_key_file.*missing\.pem cannot be read"):
        async with grpc_door(MemoryFactory(), GrpcSection(tls_certificate_file=missing, tls_key_file=missing)):
            pass
    async with grpc_door(MemoryFactory()) as door:
        with pytest.raises(ListenRefused, match=r"grpc\.port"):
            async with grpc_door(MemoryFactory(), port=door.port):
                pass


@pytest.mark.parametrize("target", ["", "host", "host:", "host:x", ":1", "host:0", "host:65536"])
def test_address_of_a_gateway_is_checked(target: str):
    with pytest.raises(InvalidInput, match="host:port"):
        GatewayAccess(target=target)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:5000", "127.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[::1]:5000", "::1"),
        ("unix:/tmp/x", ""),
        ("", ""),
    ],
)
def test_address_of_a_peer(peer: str, address: str):
    assert address_of(peer) == address


async def test_health_and_reflection_are_open_and_say_what_is_served():
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async with connected(Authority(None)) as channel:
        for service in ("", "nexus.sched.v1.WorkerService"):
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))
        (listed,) = [answer async for answer in call]
        names = {service.name for service in listed.list_services_response.service}
        assert "nexus.sched.v1.WorkerService" in names
