"""A shard's own journal: exported, and simulated again beside what happened."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.replay import journal_file
from tests.integration.application import paced
from tests.integration.shard import Shard, leading, working


async def test_recorded_run_is_exported_and_simulated_with_more_workers(
    shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}", "--json"]

    async def run(*words: str) -> dict:
        capsys.readouterr()
        assert await asyncio.to_thread(main, [*words, *flags]) == exit_codes.OK
        return json.loads(capsys.readouterr().out.splitlines()[-1])  # the scheduler of this process logs there as well

    kept = tmp_path / "kept.gz"
    async with working(shard, paced(2.0), "slow", 2), working(shard, paced(1.0), "fast", 2), leading(shard):
        await shard.submit(60, "work", 5.0)
        await shard.all_end()
        first = await run("journal", "export", str(kept))
        await shard.submit(60, "work", 5.0)
        await shard.all_end()
        second = await run("journal", "export", str(kept))
        live = await run("what-if", "--workers", "+1")
    assert (first["added"] > 0, second["turns"]) == (True, first["added"] + second["added"])
    assert len(journal_file.read(kept).turns) == second["turns"]
    assert live["tasks"] == 120
    assert live["workers"] == {"recorded": 2, "what_if": 3}
    filed = await run("what-if", "--from", str(kept), "--workers", "+1")
    assert filed["cases"]["simulated"]["response_s"] == live["cases"]["simulated"]["response_s"]
    happened, simulated = (live["cases"][name]["response_s"]["mean"] for name in ("happened", "simulated"))
    assert simulated == pytest.approx(happened, rel=1.0)  # runs of 5 ms on a busy machine
