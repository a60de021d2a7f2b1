"""`run` against servers as they are in the world: absent, late, closed, or configured to lose tasks."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.cli.run import predictors_and_settings, within
from nexus_sched.cli.seats import service_settings
from nexus_sched.cli.stores import intake_follower, leader_store
from nexus_sched.config.load import load
from nexus_sched.config.schema import Config, PoolSection, PredictorSection, QueueSection, RedisSection
from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.core.predictors.learned import LearnedPredictor
from nexus_sched.errors import ConfigInvalid, StoreUnreachable
from nexus_sched.model.intake import IntakeSettings
from nexus_sched.model.replica import ShardId
from nexus_sched.testing.servers import VALKEY, TestServer

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


@pytest.fixture
def valkey() -> Iterator[TestServer]:
    with TestServer(VALKEY) as running:
        yield running


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, exit_codes.BAD_CONFIGURATION, "noeviction"),
        ({"requirepass": "secret"}, exit_codes.NOT_ALLOWED, "redis.url_file"),
        ({"replicaof": "127.0.0.1 1"}, exit_codes.CANNOT_REACH, "primary"),
    ],
    ids=["evicting", "password", "replica"],
)
def test_run_refuses_an_unsuitable_server(options, code, words, capsys: pytest.CaptureFixture[str]):
    with TestServer(VALKEY, options=options) as server:
        assert main(["run", "--redis-url", server.url]) == code
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


async def test_reaching_gives_up_when_the_time_is_up():
    store = leader_store(Config(redis=RedisSection(url="unix:///nowhere/redis.sock")))
    began = time.monotonic()
    with pytest.raises(StoreUnreachable):
        await within(store.open, 300, asyncio.Event())
    assert 0.3 <= time.monotonic() - began < 5.0
    await store.close()


async def test_reaching_waits_for_a_server_that_comes_late(valkey: TestServer):
    store = leader_store(Config(redis=RedisSection(url=valkey.url)))
    valkey.stop()

    async def reach() -> str:
        await store.open()
        return "reached"

    reaching = asyncio.ensure_future(within(reach, 10_000, asyncio.Event()))
    await asyncio.sleep(0.3)
    valkey.start()
    assert await reaching == "reached"
    await store.close()


async def test_reaching_ends_when_it_is_told_to():
    store = leader_store(Config(redis=RedisSection(url="unix:///nowhere/redis.sock")))
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stopping.set)
    assert await within(store.open, 60_000, stopping) is None
    await store.close()


@pytest.mark.parametrize(
    ("command", "first", "last"),
    [
        (["run"], "leading", "handed over"),
        (
            ["worker", "application_of_this_test:app", "--id", "one", "--set", "pools.default.shards=1"],
            *("ready", "stopped"),
        ),
    ],
    ids=["run", "worker"],
)
def test_service_logs_json_and_exits_with_zero_on_sigterm(
    command: list[str], first: str, last: str, valkey: TestServer, tmp_path: Path
):
    (tmp_path / "application_of_this_test.py").write_text(
        "from nexus_sched import App\napp = App()\n\n@app.task\ndef work(): ...\n"
    )
    log = tmp_path / "service.log"
    flags = ["--redis-url", valkey.url, "--set", "logging.format=json"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "nexus_sched", *command, *flags], stdout=subprocess.DEVNULL, stderr=output
        )
    try:
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while f'"{first}"' not in log.read_text() and time.monotonic() < give_up_at:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_TIMEOUT_S) == exit_codes.OK, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    events = [json.loads(line)["event"] for line in log.read_text().splitlines() if line.startswith("{")]
    assert events[0] == first
    assert events[-1] == last


def test_stores_are_built_from_the_configuration():
    config = Config(
        redis=RedisSection(url="redis://somewhere:7/1"),
        pool=PoolSection(name="blue", shard=3),
        queue=QueueSection(result_ttl_ms=2_500),
        intake=[IntakeSettings(stream="jobs")],
    )
    assert b"{nx:blue:3}" in leader_store(config).keys.meta
    assert intake_follower(config, config.intake[0], "blue", 3).settings.stream == "jobs"
    settings = service_settings(config, "me", ShardId("blue", 3))
    assert (settings.pool, settings.shard, settings.dead_ms, settings.owner) == ("blue", 3, 5_000, "me")


def test_predictors_of_the_package_are_there_and_an_unknown_one_is_a_configuration_problem():
    found, settings = predictors_and_settings(Config(predictor=PredictorSection(name="ema", shadow="learned")))
    assert (found["ema"], found["learned"]) == (EmaPredictor, LearnedPredictor)
    assert (settings.predictor, settings.shadow_predictor) == ("ema", "learned")
    with pytest.raises(ConfigInvalid, match="no predictor is called 'emma'; did you mean `ema`"):
        predictors_and_settings(Config(predictor=PredictorSection(name="emma")))


def test_mode_flag_wins_over_the_file(tmp_path: Path):
    (tmp_path / "nexus.toml").write_text('[scheduler]\nmode = "shadow"\n')
    assert load(None, {}, [("--mode", "scheduler.mode", "round-robin")]).config.scheduler.mode == "round-robin"
