"""Conformance of a store that went back in time, as workers and leaders meet it: entries and turns of no history.

Ids of inbox entries come from the journal's sequence, so the new history gives them again, to other tasks. Law: a step
touches only an entry that is of the task and attempt it names, nothing starts without its pointer, and whoever takes a
pointer away without ending or returning its task says so.
"""

from __future__ import annotations

from nexus_sched.model.outcome import Receipt
from nexus_sched.runtime.ports import SequenceMismatch
from nexus_sched.testing.conformance import Stage, case


async def _vanished(stage: Stage) -> list[tuple[bytes, bytes]]:
    """Task and worker of every fact that a pointer is gone."""
    return [(fields["i"], fields["w"]) for _, fields in await stage.entries("res") if not fields["f"]]


@case
async def step_leaves_the_pointer_of_another_task_alone(stage: Stage) -> None:
    """A start and a completion name an entry under which another task lies by now."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a", "b")
    entry = await stage.dispatch("a", "w")
    assert await stage.start("w", incarnation, "gone", entry) is None
    assert await stage.complete("w", incarnation, "gone", entry) is Receipt.STALE
    assert await stage.complete("w", incarnation, "b", entry) is Receipt.LATE
    assert [item.task_id for item in await stage.inbox("w")] == ["a"]
    assert await _vanished(stage) == []
    assert await stage.start("w", incarnation, "a", entry) is not None


@case
async def step_start_without_its_pointer_is_refused(stage: Stage) -> None:
    """Else nobody would know where the task is, and with its worker it would be lost."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    other = await stage.worker.register("v", b"")
    await stage.submit("a")
    assert await stage.start("w", incarnation, "a", "7-0") is None
    entry = await stage.dispatch("a", "w")
    assert await stage.start("v", other, "a", entry) is None
    assert await stage.start("w", incarnation, "a", entry, 2) is None
    assert await stage.state("a") == "Q"
    assert await stage.start("w", incarnation, "a", entry) is not None
    assert await _vanished(stage) == []


@case
async def step_tells_of_a_pointer_whose_task_has_ended(stage: Stage) -> None:
    """A forgetful leader hands out again what has ended: it hears that the pointer is gone, whatever the answer."""
    await stage.lead()
    first = await stage.worker.register("w", b"")
    second = await stage.worker.register("v", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", first, "a", entry)
    assert await stage.complete("w", first, "a", entry) is Receipt.ACCEPTED
    assert await _vanished(stage) == []
    assert await stage.start("v", second, "a", await stage.copy("a", "v", 1)) is None
    assert await stage.complete("w", first, "a", await stage.copy("a", "w", 1)) is Receipt.REPEATED
    assert await stage.complete("v", second, "a", await stage.copy("a", "v", 1)) is Receipt.STALE
    assert await _vanished(stage) == [(b"a", b"v"), (b"a", b"w"), (b"a", b"v")]
    assert await stage.inbox("w") == await stage.inbox("v") == []


@case
async def leaving_tells_of_a_pointer_whose_task_has_ended(stage: Stage) -> None:
    """The same for what a worker held that is gone."""
    await stage.lead()
    first = await stage.worker.register("w", b"")
    second = await stage.worker.register("v", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", first, "a", entry)
    await stage.complete("w", first, "a", entry)
    await stage.copy("a", "v", 1)
    assert await stage.worker.leave("v", second) == 0
    assert await _vanished(stage) == [(b"a", b"v")]
    assert await stage.entries("q:r") == []


@case
async def snapshot_of_a_turn_that_the_journal_does_not_have_is_refused(stage: Stage) -> None:
    """A leader that has not noticed yet would leave a state that no journal leads to, and nobody could ever lead."""
    lease = await stage.lead()
    await stage.commit()
    await stage.leader.save_snapshot(lease, 1, b"state 1")
    try:
        await stage.leader.save_snapshot(lease, 2, b"state 2")
    except SequenceMismatch as mismatch:
        assert mismatch.seq == 1
    else:
        raise AssertionError("a snapshot of turn 2 was kept at turn 1")
    assert await stage.leader.snapshots() == [(1, b"state 1")]
