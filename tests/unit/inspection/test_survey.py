"""What is wrong, and what only looks wrong, with a shard in memory that was never led by a real scheduler."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nexus_sched.adapters.memory import MemoryInspectorStore, MemoryShard
from nexus_sched.inspection.engine_view import EngineView
from nexus_sched.inspection.findings import FIXES, Code
from nexus_sched.inspection.survey import Survey
from nexus_sched.model.inspection import StoredTask
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.runtime.ports import CommitPlan, CompletionLine, DispatchLine, EndLine, Lease, StartLine, SubmitLine


class Scene:
    """A shard with a lease and two workers; `a` is queued, `b` lies in an inbox, `c` runs."""

    def __init__(self) -> None:
        self.shard = MemoryShard()
        lease = self.shard.acquire("me", "n", None)
        assert isinstance(lease, Lease)
        self.lease = lease
        self.incarnation = self.shard.register("w", b"")
        self.shard.register("v", b"")
        lines = [SubmitLine(task_id, 5, b"s", b"12345") for task_id in "abc"]
        self.shard.submit(lines, "", 100, 1_000)
        entries = [f"{first}-{second}" for (first, second), _ in self.shard.streams["q:5"].after((0, 0), 9)]
        self.commit([DispatchLine("w", "b", 1), DispatchLine("w", "c", 1)], removed=entries[1:])
        self.shard.step("w", self.incarnation, b"", [], [StartLine("c", 1, "1-1")])

    def commit(self, dispatches: list[DispatchLine], *ends: EndLine, removed: list[str] | None = None) -> None:
        plan = CommitPlan(b"turn", {}, {"q:5": removed or []}, dispatches, list(ends), [], [])
        self.shard.commit(self.lease, self.shard.seq or 0, plan, publish=False)

    async def codes(self, store: MemoryInspectorStore | None = None) -> list[str]:
        survey = Survey(store or MemoryInspectorStore(self.shard), EngineView(None), lambda what, count: None)
        await survey.run()
        assert {finding.fix for finding in survey.findings} <= set(FIXES.values())
        return sorted(finding.code.value for finding in survey.findings)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_every_code_has_a_remedy():
    assert set(FIXES) == set(Code)


async def test_whole_shard_has_no_findings(scene: Scene):
    assert await scene.codes() == []


async def test_copy_of_a_running_task_is_no_second_place(scene: Scene):
    scene.commit([DispatchLine("v", "c", 2)])
    assert await scene.codes() == []
    scene.commit([DispatchLine("v", "c", 3)])
    assert await scene.codes() == ["pointer-repeated"] * 2


async def test_same_attempt_in_two_inboxes_is_a_second_place(scene: Scene):
    scene.commit([DispatchLine("v", "b", 1)])
    assert await scene.codes() == ["pointer-repeated"]


async def test_end_that_the_leader_has_yet_to_read_excuses_its_pointer(scene: Scene):
    line = CompletionLine("c", 1, "1-1", True, Outcome.SUCCEEDED, b"fact", b"result")
    scene.shard.step("w", scene.incarnation, b"", [line], [])
    scene.shard.append("i:v", b"i", b"c", b"a", b"1")
    assert await scene.codes() == []
    scene.shard.streams["res"].trim((2**60, 0))
    assert await scene.codes() == ["pointer-stale"]


async def test_dead_task_keeps_its_payload_and_needs_a_letter(scene: Scene):
    first, second = scene.shard.streams["q:5"].after((0, 0), 9)[0][0]
    scene.commit([], EndLine(True, "a", 1, Reason.DEADLINE, "", ""), removed=[f"{first}-{second}"])
    assert await scene.codes() == []
    scene.shard.streams["dead"].trim((2**60, 0))
    assert await scene.codes() == ["letter-missing"]


class Moving(MemoryInspectorStore):
    """A task is submitted right after the records have been read."""

    async def tasks(self, task_ids: Sequence[str]) -> list[StoredTask | None]:
        read = await super().tasks(task_ids)
        self.shard.submit([SubmitLine(f"new-{len(self.shard.tasks)}", 5, b"s", b"12345")], "", 100, 1_000)
        return read


async def test_sum_of_what_comes_and_goes_meanwhile_is_not_held_against_the_counter(scene: Scene):
    assert await scene.codes(Moving(scene.shard)) == []
    scene.shard.queued_bytes += 1
    assert await scene.codes() == ["bytes-wrong"]


async def test_each_loss_is_found(scene: Scene):
    shard = scene.shard
    shard.tasks["a"].envelope = None
    assert await scene.codes() == ["payload-lost"]
    shard.queued_bytes += 1
    shard.results["nobody"] = b"x"
    assert await scene.codes() == ["bytes-wrong", "payload-lost", "result-orphan"]
    del shard.workers["w"]
    shard.streams["i:w"].remove((1, 1))
    shard.append("q:7", b"i", b"ghost", b"m", b"s", b"b", b"0")
    expected = [
        "bytes-wrong",
        "inbox-ownerless",
        "payload-lost",
        "pointer-dangling",
        "pointer-missing",
        "result-orphan",
    ]
    assert await scene.codes() == expected
