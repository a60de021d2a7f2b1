"""SIGHUP: a good file takes effect and is in the journal, a bad one changes nothing and is told with its lines."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx

from nexus_sched.adapters.redis import RedisAuditStore, RedisLeaderStore
from nexus_sched.control.record import decode_record
from nexus_sched.control.trail import Trail
from nexus_sched.model.events import EpochBegan, SettingsChanged
from nexus_sched.model.settings import EngineSettings
from nexus_sched.replay.verify import verify_store
from tests.integration.application import paced
from tests.integration.programs import Program, Programs
from tests.integration.shard import PREDICTORS, Shard, eventually, working
from tests.integration.test_gateway_process import address_of

GOOD = """\
[scheduler]
order = "predictable"
lease = "9s"

[scheduler.weights]
wait = 3.0

[[limits]]
scope = "type"
concurrency = 2
"""
BAD = """\
[scheduler]
ordr = "fast"

[scheduler.weights]
wait = -1
"""


def hang_up(program: Program) -> None:
    os.kill(program.pid, signal.SIGHUP)


async def test_configuration_is_read_again_by_a_scheduler_that_runs(
    shard: Shard, programs: Programs, tmp_path: Path
) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('[logging]\nformat = "json"\n')
    scheduler = programs.scheduler()
    await eventually(lambda: '"leading"' in scheduler.output)

    file.write_text(BAD)
    hang_up(scheduler)
    await eventually(lambda: "configuration refused" in scheduler.output)
    assert "nexus.toml:2: unknown key `scheduler.ordr`; did you mean `order`?" in scheduler.output
    assert "nexus.toml:5: `scheduler.weights.wait`" in scheduler.output

    file.write_text(f'{GOOD}[logging]\nformat = "json"\n')
    hang_up(scheduler)
    await eventually(lambda: "configuration read again" in scheduler.output)
    assert 'scheduler.order: \\"fast\\" -> \\"predictable\\"' in scheduler.output
    await eventually(lambda: "needs a restart" in scheduler.output)
    assert "scheduler.lease: " in scheduler.output

    async with working(shard, paced(1.0), "only", 4):
        await shard.submit(20, "work", 1.0)
        await shard.all_succeed()
    events = [event for turn in await shard.turns() for event in turn.events]
    (began,) = (event for event in events if isinstance(event, EpochBegan))
    (changed,) = (event for event in events if isinstance(event, SettingsChanged))
    assert (began.settings.order, began.settings.limits) == ("fast", ())
    assert began.settings.wait_weight == EngineSettings().wait_weight
    assert (changed.settings.order, changed.settings.wait_weight) == ("predictable", 3.0)
    assert [limit.concurrency for limit in changed.settings.limits] == [2]
    assert changed.actor.endswith(f":{scheduler.pid}")

    hang_up(scheduler)  # nothing has changed since
    await eventually(lambda: scheduler.output.count("configuration read again") == 2)
    events = [event for turn in await shard.turns() for event in turn.events]
    assert sum(isinstance(event, SettingsChanged) for event in events) == 1
    store = RedisLeaderStore(shard.url, shard.pool)
    await store.open()
    try:
        verdict = await verify_store(store, PREDICTORS)
    finally:
        await store.close()
    assert verdict.agrees, verdict.differences[:3]
    trail = Trail(RedisAuditStore(shard.url, shard.pool), 1_000)
    records = [decode_record(line.record) for line in await trail.page(0, 100)]
    await trail.close()
    assert [record.action for record in records] == ["config.refused", "config.reload", "config.reload"]
    assert "nexus.toml:2: unknown key" in records[0].detail
    assert {record.source.partition(" ")[0] for record in records} == {"scheduler"}


async def test_configuration_is_read_again_by_command_and_a_bad_one_is_answered_with_its_lines(
    shard: Shard, programs: Programs, tmp_path: Path
) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text('[logging]\nformat = "json"\n')
    scheduler = programs.scheduler()
    gateway = programs.start("run", "--role", "gateway", "--insecure-no-auth", "--set", "http.port=0")
    await eventually(lambda: '"leading"' in scheduler.output)
    await eventually(lambda: " at http://" in gateway.output)
    url = address_of(gateway)
    async with httpx.AsyncClient(base_url=url, timeout=20.0) as client:
        file.write_text(BAD)
        refused = await client.post("/v1/config:reload", json={"reason": "a test"})
        assert (refused.status_code, refused.json()["code"]) == (422, "CONFIG_INVALID")
        assert any(problem.startswith("nexus.toml:2:") for problem in refused.json()["problems"])
        assert len(refused.json()["problems"]) == 2
        file.write_text(f'{GOOD}[logging]\nformat = "json"\n[http.rate_limit]\nrequests_per_s = 7\n')
        dry = await client.post("/v1/config:reload", json={"reason": "a test"}, params={"dry_run": True})
        assert any(change.startswith("http.rate_limit.requests_per_s") for change in dry.json()["changed"])
        assert (await client.get("/v1/config")).json()["values"]["http.rate_limit.requests_per_s"] == "0"
        changed = await client.post("/v1/config:reload", json={"reason": "a test"})
        assert changed.status_code == 200, changed.text
        assert any(change.startswith("scheduler.lease") for change in changed.json()["at_next_start"])
        values = (await client.get("/v1/config")).json()["values"]
        assert values["http.rate_limit.requests_per_s"] == "7"
        await eventually(lambda: "configuration read again" in scheduler.output)
        records = (await client.get("/v1/audit")).json()["records"]
        assert {"config.refused", "config.reload"} <= {each["action"] for each in records}
        file.write_text("[scheduler")
        os.kill(gateway.pid, signal.SIGHUP)
        await eventually(lambda: "configuration refused" in gateway.output)
        assert (await client.get("/livez")).status_code == 200
