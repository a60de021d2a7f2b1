"""The searches of `canaries` find what they are for: without these tests, finding nothing would say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.testing.servers import TestServer
from tests.integration.canaries import PAYLOAD, search, secrets_in
from tests.integration.programs import Programs
from tests.integration.shard import Shard, eventually, leading

TOKEN, _ = tokens.create("found", Role.VIEWER, tokens.now_utc(), None)


SECRETS = {
    "payload": PAYLOAD,
    "token": TOKEN,
    "address": "redis://user:hush@db.example/0",
    "socket": "unix://:hush@/run/a.sock",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
def test_secret_is_known_wherever_it_stands(secret: str):
    assert secrets_in(f'{{"error": "cannot use {secret}"}}') != []
    assert secrets_in(b"\x81\xa1a" + secret.encode()) != []


@pytest.mark.parametrize("text", ["redis://db.example:6379/0", "unix:///run/a.sock", "nxt_found_", "http://a:80/@"])
def test_what_only_looks_like_a_secret_is_none(text: str):
    assert secrets_in(text) == []


def test_secret_in_the_log_of_a_process_is_found(tmp_path: Path):
    programs = Programs("redis://127.0.0.1:1/0", "found", tmp_path)
    program = programs.start("submit", f"no type {PAYLOAD}")  # a refusal that repeats what it refuses
    program.wait()
    with pytest.raises(AssertionError, match="a secret is in a log"):
        programs.close()


async def test_secret_in_what_the_store_keeps_is_found(server: TestServer, pool: str):
    shard = Shard(server.url, pool)
    await shard.open()
    async with leading(shard):
        await shard.submit(1, tenant=PAYLOAD)  # whose tasks these are stands in the journal
        await eventually(shard.turns)
    with pytest.raises(AssertionError, match=PAYLOAD):
        await shard.close()


def test_secret_in_what_a_test_logs_fails_it():
    for said, outcome in ((PAYLOAD, "failed"), ("nothing", "passed")):
        sections = [("Captured stderr call", f"it said {said}")]
        report = pytest.TestReport("a test", ("here", 1, "a test"), {}, "passed", None, "teardown", sections)
        search(report)
        assert report.outcome == outcome
