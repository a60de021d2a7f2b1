"""Explanations on a real server: of waiting, running and finished tasks, by client and command line."""

from __future__ import annotations

import asyncio
import json

import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.client import AsyncClient
from nexus_sched.client.explain import NOT_KEPT
from nexus_sched.errors import TaskUnknown
from nexus_sched.model.answer import FOR_CAPACITY, ITS_TURN, MISCONFIGURED
from tests.integration.application import paced
from tests.integration.shard import Shard, eventually, leading, raw_client, working

RUN_MS = 30.0


async def taught(client: AsyncClient, runs: int = 8) -> None:
    """Let the scheduler see a few runs."""
    for _ in range(runs):
        await (await client.submit("work", RUN_MS)).result("10s")


async def test_finished_task_is_explained_with_bill_actual_and_regret(shard: Shard) -> None:
    async with (
        leading(shard),
        working(shard, paced(1.0), "even"),
        working(shard, paced(0.5), "slow"),
        AsyncClient(shard.url, pool=shard.pool) as client,
    ):
        await taught(client, 16)
        handle = await client.submit("work", RUN_MS)
        await handle.result("10s")
        told = await client.explain(handle.id, why_not="slow")
        story, actual = told.decision, told.actual
        assert (told.state, told.type, told.missing) == ("succeeded", "work", "")
        assert story is not None
        assert actual is not None
        assert story.bill is not None
        assert (story.funnel["workers"], story.funnel["open"], story.policy) == (2, 2, "predictive")
        assert {row.worker for row in story.bill.rows} == {"even", "slow"}
        assert story.bill.rows[0].worker == story.worker
        assert story.round_robin in ("even", "slow")
        assert story.model == "learned"
        assert len(story.settings) == 16
        assert told.sentence.startswith(f"placed on {story.worker}")
        assert actual.outcome == "succeeded"
        assert actual.response_ms >= actual.run_ms - 1.0 > 0.0
        other = story.bill.rows[1]
        assert actual.alternative == other.worker
        assert actual.regret_ms == pytest.approx(actual.response_ms - other.promised_ms)
        assert told.why_not
        with pytest.raises(TaskUnknown):
            await client.explain("never-heard-of")


async def test_waiting_and_running_tasks_are_explained_by_the_scheduler(shard: Shard) -> None:
    async with leading(shard), working(shard, paced(1.0), "only"), AsyncClient(shard.url, pool=shard.pool) as client:
        await taught(client)
        first = await client.submit("work", 20 * RUN_MS)
        for _ in range(3):
            await client.submit("work", 10 * RUN_MS)
        last = await client.submit("work", RUN_MS)
        hopeless = await client.submit("work", RUN_MS, requires="gpu")

        async def runs() -> bool:
            return (await client.explain(first.id)).state == "running"

        await eventually(runs)
        running = await client.explain(first.id, why_not="only")
        assert (running.why_not, running.tier) == ("it is there", "")
        assert running.decision is not None
        assert "it is with only" in running.sentence
        waiting = await client.explain(last.id, why_not="only")
        assert (waiting.state, waiting.tier, waiting.ahead > 0) == ("waiting", ITS_TURN, True)
        assert waiting.why_not.startswith(("its slots ", "it holds "))
        misled = await client.explain(hopeless.id)
        assert misled.tier == MISCONFIGURED
        assert "no worker has a label gpu" in misled.sentence
        await client.cancel(hopeless.id)
        await client.cancel(last.id)
        ended = eventually(lambda: _state_is(client, last.id, "cancelled"))
        await ended
        assert (await client.explain(last.id)).sentence == "it ended without having run"


async def _state_is(client: AsyncClient, task_id: str, state: str) -> bool:
    return await client.state(task_id) == state


async def test_decision_that_the_journal_has_lost_is_said_to_be_lost(shard: Shard) -> None:
    async with leading(shard), working(shard, paced(1.0), "only"), AsyncClient(shard.url, pool=shard.pool) as client:
        handle = await client.submit("work", 1.0)
        await handle.result("10s")
        async with raw_client(shard.url) as raw:
            await raw.call(b"XTRIM", f"{{nx:{shard.pool}:0}}:ev", b"MAXLEN", b"0")
        told = await client.explain(handle.id)
        assert (told.sentence, told.decision, told.missing) == (NOT_KEPT, None, NOT_KEPT)


async def test_command_line_explains(shard: Shard, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}"]

    async def run(*arguments: str) -> str:
        capsys.readouterr()
        assert await asyncio.to_thread(main, [*arguments, *flags]) == exit_codes.OK
        return capsys.readouterr().out

    async with AsyncClient(shard.url, pool=shard.pool) as client, leading(shard):
        early = await client.submit("work", RUN_MS)
        said = json.loads((await run("explain", early.id, "--json")).splitlines()[-1])
        assert (said["tier"], said["sentence"]) == (FOR_CAPACITY, "no worker is registered")
        async with working(shard, paced(1.0), "even"), working(shard, paced(1.0), "odd"):
            await early.result("10s")
            await taught(client)
            handle = await client.submit("work", RUN_MS)
            await handle.result("10s")
            words = await run("explain", handle.id, "--why-not", "odd", "--what-if", "wait=0.6")
            for part in ("placed on ", "funnel", "2 workers -> ", "run", "chosen", "model", "decision", "actual"):
                assert part in words
            assert "what if" in words
            body = json.loads((await run("explain", handle.id, "--json", "--what-if", "wait=0.6")).splitlines()[-1])
            assert body["what_if"]["weights"]["wait"] == 0.6
            assert body["what_if"]["chosen"] in ("even", "odd")
            assert body["actual"]["outcome"] == "succeeded"
