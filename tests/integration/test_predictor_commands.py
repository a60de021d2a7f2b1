"""A model's way through a living pool: trained from the journal, shadow, promoted, rolled back, replayed to the bit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_sched.adapters.redis import RedisLeaderStore
from nexus_sched.cli import exit_codes, main
from nexus_sched.plugins.catalogue import Catalogue
from nexus_sched.plugins.journal_runs import runs_from_store
from nexus_sched.replay.verify import verify_store
from tests.integration.application import paced
from tests.integration.shard import Shard, leading, working

Run = Callable[..., "asyncio.Future[dict]"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("lightgbm", reason="the extra `ml` is not installed")
    return tmp_path / "boosting.nxm"


@pytest.fixture
def catalogue(model: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """What the schedulers of this test may choose from."""
    found = Catalogue([], model)
    monkeypatch.setattr("tests.integration.shard.PREDICTORS", found)
    return found


@pytest.fixture
def command(shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `nexus-sched predictor ...` beside the scheduler, and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}", "--json"]

    async def run(*words: str, code: int = exit_codes.OK) -> dict:
        capsys.readouterr()
        found = await asyncio.to_thread(main, ["predictor", *words, *flags])
        output = capsys.readouterr()
        assert found == code, output.err
        return json.loads(output.out.splitlines()[-1])  # the scheduler of this process logs there as well

    return run


async def test_model_is_trained_from_the_journal_loaded_promoted_rolled_back_and_replayed(
    shard: Shard, model: Path, catalogue: Catalogue, command: Run
):
    async with leading(shard), working(shard, paced(1.0), "w", 4):
        await shard.submit(80, "work", 2.0)
        await shard.all_end()
        trained = await command("train", "--from-journal", "--out", str(model))
        assert trained["rows"] >= 60
        name = trained["predictor"]
        assert (await command("load", str(model)))["shadow"] == name
        await shard.submit(40, "work", 2.0)
        await shard.all_end()
        assert await command("promote", name) == {"in_force": True, "predictor": name, "shadow": "learned"}
        await shard.submit(40, "work", 2.0)
        await shard.all_end()
        shown = await command("show")
        assert shown["scores"][name]["predictions"] >= 40
        assert (await command("rollback"))["predictor"] == "learned"
        assert (await command("rollback"))["predictor"] == name, "rolling back twice leads forward again"
        assert (await command("shadow"))["shadow"] == ""
        missing = await command("rollback", code=exit_codes.NOT_FOUND)
        assert missing["error"]["code"] == "NO_FORMER_PREDICTOR"
    store = RedisLeaderStore(shard.url, shard.pool)
    await store.open()
    try:
        verdict = await verify_store(store, catalogue)
        assert verdict.agrees, verdict.differences[:3]
        assert verdict.decisions == 160
    finally:
        await store.close()


async def test_next_leader_takes_over_with_the_promoted_model_and_its_collected_runs(
    shard: Shard, model: Path, catalogue: Catalogue, command: Run
):
    async with working(shard, paced(1.0), "w", 4):
        async with leading(shard):
            await shard.submit(80, "work", 2.0)
            await shard.all_end()
            name = (await command("train", "--from-journal", "--out", str(model)))["predictor"]
            await command("promote", name)
            await shard.submit(30, "work", 2.0)
            await shard.all_end()
        async with leading(shard) as service:  # two checkpoints by now: the journal is cut behind the first
            await shard.submit(10, "work", 2.0)
            await shard.all_end()
            assert service.leading.is_set()
            assert (await command("show"))["predictor"] == name
        async with leading(shard):
            await shard.submit(5, "work", 2.0)
            await shard.all_end()
    store = RedisLeaderStore(shard.url, shard.pool)
    await store.open()
    try:
        runs = await runs_from_store(store)
    finally:
        await store.close()
    assert 45 <= len(runs) < 125, "the journal is cut; what the predictor collected since it was promoted is there"
    assert {(run.task_type, run.worker) for run in runs} == {("work", "w")}
    assert all(run.run_ms > 0.0 and run.predicted_at_ms <= run.ended_at_ms for run in runs)


async def test_choosing_an_unknown_predictor_is_not_taken_for_done(
    shard: Shard, catalogue: Catalogue, command: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nexus_sched.control.desk.SHOWN_WITHIN_S", 0.8)
    async with leading(shard):
        found = await command("promote", "boosting-0123456789abcdef", code=exit_codes.DEGRADED)
        assert found == {"in_force": False, "predictor": "learned", "shadow": ""}


async def test_pool_that_was_never_served_is_not_told_anything(shard: Shard, command: Run):
    found = await command("promote", "ema", code=exit_codes.NOT_FOUND)
    assert found["error"]["code"] == "POOL_UNKNOWN"
    assert (await command("show", code=exit_codes.NOT_FOUND))["error"]["code"] == "POOL_UNKNOWN"
