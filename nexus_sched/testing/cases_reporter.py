"""Conformance of reporting for many workers at once: signs of life, packs, and who is not heard."""

from __future__ import annotations

from nexus_sched.runtime.ports import REPORT_WORKERS_MAX
from nexus_sched.testing.conformance import Stage, case


@case
async def report_is_a_sign_of_life_of_each_and_one_entry(stage: Stage) -> None:
    """Counters of all of them change; the pack goes to the leader as it is, once."""
    reporter = await stage.reporter()
    workers = [(f"w{number}", await stage.worker.register(f"w{number}", b"")) for number in range(3)]
    before = await stage.leader.heartbeats()
    assert await reporter.report(workers, b"pack") == [True, True, True]
    after = await stage.leader.heartbeats()
    assert [after[worker] - before[worker] for worker, _ in workers] == [1, 1, 1]
    assert [fields for _, fields in await stage.entries("rep")][3:] == [{"k": b"pack", "f": b"pack"}]


@case
async def report_without_news_leaves_no_entry(stage: Stage) -> None:
    """A sign of life alone is no input of the leader."""
    reporter = await stage.reporter()
    incarnation = await stage.worker.register("w", b"")
    before = await stage.leader.heartbeats()
    assert await reporter.report([("w", incarnation)], b"") == [True]
    assert await stage.leader.heartbeats() != before
    assert len(await stage.entries("rep")) == 1
    assert await reporter.report([], b"") == []


@case
async def report_of_a_former_incarnation_is_refused(stage: Stage) -> None:
    """Nor is anybody heard who left or never came; the others of the call are."""
    reporter = await stage.reporter()
    first = await stage.worker.register("w", b"")
    second = await stage.worker.register("w", b"")
    gone = await stage.worker.register("gone", b"")
    await stage.worker.leave("gone", gone)
    asked = [("w", first), ("w", second), ("gone", gone), ("nobody", 1)]
    assert await reporter.report(asked, b"pack") == [False, True, False, False]
    assert set(await stage.leader.heartbeats()) == {"w"}
    assert await reporter.report([("w", first)], b"unheard") == [False]
    packs = [fields["f"] for _, fields in await stage.entries("rep") if fields["k"] == b"pack"]
    assert packs == [b"pack"]


@case
async def report_takes_as_many_as_are_allowed(stage: Stage) -> None:
    """The bound itself is still taken."""
    reporter = await stage.reporter()
    workers = [(f"w{number}", 1) for number in range(REPORT_WORKERS_MAX)]
    for worker, _ in workers[:2]:
        await stage.worker.register(worker, b"")
    assert await reporter.report(workers, b"") == [True, True, *[False] * (REPORT_WORKERS_MAX - 2)]
