"""`nexus-sched doctor` on real servers: what is missing is said, and what is safe is mended."""

from __future__ import annotations

import asyncio
import json

import pytest

from nexus_sched.cli import exit_codes, main
from tests.integration.application import app
from tests.integration.shard import Shard, leading, raw_client, working


class Doctor:
    """Runs the command in a thread of this process, as the scheduler beside it needs the loop."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    async def __call__(self, url: str, *arguments: str) -> tuple[int, dict[str, str]]:
        self._captured.readouterr()
        code = await asyncio.to_thread(main, ["doctor", "--redis-url", url, "--json", *arguments])
        answer = json.loads(self._captured.readouterr().out.splitlines()[-1])
        return code, {check["name"]: check["level"] for check in answer["checks"]}


async def test_doctor_says_what_is_missing_until_nothing_is(shard: Shard, capsys: pytest.CaptureFixture[str]) -> None:
    doctor = Doctor(capsys)
    pool = ("--set", f"pool.name={shard.pool}")
    async with raw_client(shard.url) as client:
        await client.call("FUNCTION", "FLUSH")
        code, levels = await doctor(shard.url, *pool)
        assert code in (exit_codes.DEGRADED, exit_codes.FAILED)
        assert (levels["functions"], levels["scheduler"], levels["eviction"]) == ("warn", "warn", "ok")
        code, levels = await doctor(shard.url, *pool, "--fix")
        assert levels["functions"] == "ok"
        async with leading(shard), working(shard, app, "w"):
            code, levels = await doctor(shard.url, *pool)
            assert {levels[name] for name in ("scheduler", "workers", "queue", "dead letters", "role")} == {"ok"}
        async with leading(shard, crash=True):
            pass
        code, levels = await doctor(shard.url, *pool)
        assert (code, levels["scheduler"]) == (exit_codes.FAILED, "fail")


async def test_doctor_without_a_server_or_a_sound_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    doctor = Doctor(capsys)
    code, levels = await doctor("unix:///nowhere/redis.sock")
    assert (code, levels) == (exit_codes.CANNOT_REACH, {"configuration": "ok", "server": "fail"})
    code, levels = await doctor("unix:///nowhere/redis.sock", "--set", "queue.length_max=none")
    assert (code, levels) == (exit_codes.BAD_CONFIGURATION, {"configuration": "fail"})
