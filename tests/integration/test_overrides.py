"""People know better for a while: `nexus-sched override` against a real server and a real scheduler."""

from __future__ import annotations

import asyncio
import json

import pytest

from nexus_sched.adapters.redis import RedisLeaderStore
from nexus_sched.cli import exit_codes, main
from nexus_sched.model.command import PinEstimate, encode_command
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.replay.verify import verify_store
from tests.integration.application import paced
from tests.integration.shard import PREDICTORS, Shard, eventually, leading, working

SCOPE = ["--scope", "type=work"]


class Command:
    """Runs the command line in a thread of this process, as the scheduler beside it needs the loop."""

    def __init__(self, shard: Shard, captured: pytest.CaptureFixture[str]) -> None:
        self._flags = ["--redis-url", shard.url, "--set", f"pool.name={shard.pool}", "--json"]
        self._captured = captured

    async def __call__(self, *arguments: str) -> tuple[int, dict]:
        self._captured.readouterr()
        code = await asyncio.to_thread(main, ["override", *arguments, *self._flags])
        *_, answer = self._captured.readouterr().out.splitlines()  # before it, the log of what leads in this process
        return code, json.loads(answer)


@pytest.fixture
def override(shard: Shard, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(shard, capsys)


async def decided(shard: Shard) -> SchedulingDecision:
    """What was decided about one more task."""
    (task_id,) = await shard.submit(1, "work", 1.0)
    await shard.all_succeed()
    return next(each.decision for each in await shard.dispatches() if each.decision.task_id == task_id)


async def test_pin_wins_is_told_with_the_decision_and_is_gone_when_removed(shard: Shard, override: Command) -> None:
    async with leading(shard), working(shard, paced(1.0), "only"):
        for _ in range(2):
            unpinned = await decided(shard)
        assert unpinned.basis not in ("pinned", "")
        told = ["--effect", "estimate=45s", "--reason", "a new data set", "--for", "1h", "--actor", "ada"]
        code, answer = await override("add", *SCOPE, *told)
        assert (code, answer["in_force"], answer["replaces"]) == (exit_codes.OK, True, None)
        pinned = await decided(shard)
        assert (pinned.predicted_ms, pinned.p50_ms, pinned.basis) == (45_000.0, 45_000.0, "pinned")

        code, answer = await override("list")
        (row,) = answer["overrides"]
        assert (row["scope"], row["effect"], row["actor"]) == ({"type": "work"}, {"estimate_ms": 45_000.0}, "ada")
        assert row["reason"] == "a new data set"
        assert 3_500_000 < row["remaining_ms"] <= 3_600_000

        code, answer = await override("remove", *SCOPE)
        assert (code, answer["replaces"]["reason"]) == (exit_codes.OK, "a new data set")
        assert (await decided(shard)).basis != "pinned"
        code, answer = await override("remove", *SCOPE)
        assert (code, answer["error"]["code"]) == (exit_codes.NOT_FOUND, "OVERRIDE_UNKNOWN")


async def test_pin_ends_by_itself_and_survives_a_change_of_leaders(shard: Shard, override: Command) -> None:
    async with working(shard, paced(1.0), "only"):
        async with leading(shard):
            for _ in range(2):
                await decided(shard)
            told = ["--effect", "estimate=45s", "--reason", "for a moment", "--for", "5s"]
            assert (await override("add", *SCOPE, *told))[1]["in_force"]
        async with leading(shard):
            assert (await decided(shard)).basis == "pinned"
            await eventually(lambda: nothing_listed(override))
            assert (await decided(shard)).basis != "pinned"
            (code, answer) = await override("list")
            assert (code, answer["overrides"]) == (exit_codes.OK, [])


async def nothing_listed(override: Command) -> bool:
    return not (await override("list"))[1]["overrides"]


async def test_factor_scales_what_the_predictor_says_and_a_dry_run_changes_nothing(
    shard: Shard, override: Command
) -> None:
    async with leading(shard), working(shard, paced(1.0), "only"):
        for _ in range(2):
            before = await decided(shard)
        told = [*SCOPE, "--effect", "factor=1000", "--reason", "twice the work", "--for", "1h"]
        code, answer = await override("add", *told, "--dry-run")
        assert (code, answer["in_force"], answer["dry_run"]) == (exit_codes.OK, False, True)
        assert (await override("list"))[1]["overrides"] == []
        assert (await override("add", *told))[1]["in_force"]
        after = await decided(shard)
        assert after.basis == "pinned"
        assert after.predicted_ms > 20 * before.predicted_ms
        code, answer = await override("add", *SCOPE, "--effect", "factor=2", "--reason", "less", "--for", "1h")
        assert (code, answer["replaces"]["effect"]) == (exit_codes.OK, {"factor": 1_000.0})


async def test_without_a_scheduler_nobody_claims_that_it_is_in_force(shard: Shard, override: Command) -> None:
    told = [*SCOPE, "--effect", "factor=2", "--reason", "why not", "--for", "1h"]
    code, answer = await override("add", *told)
    assert (code, answer["error"]["code"]) == (exit_codes.NOT_FOUND, "POOL_UNKNOWN")
    async with leading(shard):
        await eventually(lambda: seen(shard))
    code, answer = await override("add", *told)
    assert (code, answer["in_force"]) == (exit_codes.DEGRADED, False)
    async with leading(shard):  # it was not lost: whoever leads next takes it up
        await eventually(lambda: listed(override))


async def seen(shard: Shard) -> bool:
    return await shard.frame() is not None


async def listed(override: Command) -> bool:
    return bool((await override("list"))[1]["overrides"])


async def test_command_that_pins_beyond_the_bounds_is_refused_and_changes_nothing(
    shard: Shard, override: Command
) -> None:
    async with leading(shard):
        await eventually(lambda: seen(shard))
        for value_ms, factor in ((-1.0, 1.0), (float("nan"), 1.0), (None, 0.0), (None, float("inf"))):
            await shard.store.command(encode_command(PinEstimate("work", 60_000, "hostile", "", value_ms, factor)))
        assert (await override("add", *SCOPE, "--effect", "factor=2", "--reason", "why", "--for", "1h"))[1]["in_force"]
        frame = await shard.frame()
        assert [(pin.task_type, pin.factor) for pin in frame.pins] == [("work", 2.0)]
        assert frame.counters["refused"] == 4


async def test_pin_avoid_and_priority_are_followed_named_and_over_when_removed(shard: Shard, override: Command) -> None:
    async with leading(shard), working(shard, paced(1.0), "w1"), working(shard, paced(1.0), "w2"):
        await eventually(lambda: both(shard))
        why = ["--reason", "a test", "--for", "1h", "--actor", "ada"]
        code, answer = await override("add", *SCOPE, "--effect", "pin=w9", *why, "--dry-run")
        assert code == exit_codes.OK
        assert answer["effect"] == "tasks of type work may run on w9 only, which is not registered now"
        assert (await override("add", *SCOPE, "--effect", "avoid=w1", *why))[1]["in_force"]
        assert (await override("add", *SCOPE, "--effect", "priority=+2", *why))[1]["in_force"]
        decisions = [await decided(shard) for _ in range(4)]
        assert {each.worker for each in decisions} == {"w2"}
        assert decisions[0].overrides == ("type=work avoid=w1", "type=work priority=+2")
        rows = (await override("list"))[1]["overrides"]
        assert [row["effect"] for row in rows] == [{"avoid": "w1"}, {"priority": 2}]
        code, answer = await override("remove", *SCOPE)
        assert (code, answer["error"]["code"]) == (exit_codes.USAGE, "INVALID_INPUT")
        assert (await override("remove", *SCOPE, "--effect", "avoid=w1"))[1]["in_force"]
        assert (await override("add", *SCOPE, "--effect", "pin=w1", *why))[1]["in_force"]
        pinned = await decided(shard)
        assert (pinned.worker, pinned.overrides) == ("w1", ("type=work priority=+2", "type=work pin=w1"))
        code, answer = await override("remove", "--scope", "task=nobody", "--effect", "pin")
        assert (code, answer["error"]["code"]) == (exit_codes.NOT_FOUND, "OVERRIDE_UNKNOWN")
        code, answer = await override("add", "--scope", "task=nobody", "--effect", "pin=w1", *why)
        assert (code, answer["error"]["code"]) == (exit_codes.NOT_FOUND, "TASK_UNKNOWN")
        assert (await agrees(shard)) == []


async def agrees(shard: Shard) -> list[object]:
    """What does not come out again when the journal is replayed."""
    store = RedisLeaderStore(shard.url, shard.pool)
    await store.open()
    try:
        return list((await verify_store(store, PREDICTORS)).differences)
    finally:
        await store.close()


async def both(shard: Shard) -> bool:
    frame = await shard.frame()
    return frame is not None and frame.workers_accepting == 2
